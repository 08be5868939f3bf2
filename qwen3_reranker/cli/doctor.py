"""`doctor`: a server or a checkpoint -> its faults, their evidence, and repairs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TextIO

from typer import Argument, Exit

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions
from qwen3_reranker.cli.terminal import console_for, print_line, print_table
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.row_table import GAP, Column, RowTable, wrapped

if TYPE_CHECKING:
    from qwen3_reranker.doctor import DoctorReport, Finding

DIALECTS = ("auto", "cohere", "jina", "tei", "vllm-score", "llama.cpp")
FOUND = 1
KEY_VARIABLE = "QWEN3_RERANKER_API_KEY"
_WIDEST = 100


@dataclass(frozen=True, kw_only=True)
class ServerUnderTest:
    """A server to check, and how to reach it. reference: the same weights on this machine."""

    group: ClassVar[str] = "Server"
    reference: str | None = option(
        None,
        "The same weights on this machine: a folder, a Hub id or nano. Their scores show what is wrong with a prompt.",
        unit="MODEL",
        group="Reference",
    )
    dialect: str = option("auto", "The API of the server.", choices=DIALECTS, shown="auto: each is tried")
    model: str | None = option(None, "The model's name in requests.", unit="NAME", flag="--model, -m", shown="none")
    api_key: str | None = option(
        None, "Sent as a bearer token; it is safer in the environment.", unit="KEY", shown=KEY_VARIABLE
    )
    timeout: float = option(60.0, "Longest time of a request.", unit="SECONDS", shown="60")


@declared
def doctor(
    target: Annotated[str, Argument(metavar="TARGET")],
    *,
    server: ServerUnderTest,
    source: Annotated[ModelOptions, without("model")],
    output: PrintOptions,
) -> None:
    """Find what is wrong with a rerank server or a checkpoint.

    TARGET is the address of a server that speaks Cohere's, Jina's, TEI's, vLLM's or llama.cpp's format: its base,
    or one route. It gets up to 60 short and 9 long requests. With --reference, the same weights on this machine,
    the faults of a prompt can be named; without it, only what no healthy server does is found.
    Any other TARGET is a folder, a .gguf file or a Hub id: its files are checked, and nothing in them is run.

    Exit codes: 0 nothing found, 1 findings, 2 wrong input, 3 a damaged reference, 4 no server answers.

    Examples:
      qwen3-reranker doctor http://localhost:8000
      qwen3-reranker doctor http://localhost:8000 --reference Qwen/Qwen3-Reranker-0.6B
      qwen3-reranker doctor https://api.example.com/v2/rerank --model rerank-1
      qwen3-reranker doctor ./my-model --format json
    """
    if not 0 < server.timeout < float("inf"):
        raise InputError(f"--timeout must be a number of seconds above 0, got {server.timeout:g}")
    from qwen3_reranker.weights.hub_name import is_address

    if target.startswith(("http://", "https://")) and not is_address(target):
        report = _of_server(target, server, source.revision)
    else:
        from qwen3_reranker.cli.progress import ProgressBar
        from qwen3_reranker.doctor import check_files

        given = {
            "--reference": server.reference,
            "--model": server.model,
            "--api-key": server.api_key,
            "--dialect": server.dialect,
        }
        if unused := [name for name, value in given.items() if value not in (None, "auto")]:
            raise InputError(
                f"{', '.join(unused)} is for servers, with an address that begins with http:// or https://"
            )
        # A download shows a bar of its own.
        with ProgressBar("examining") if os.path.exists(target) else nullcontext():
            report = check_files(target, source.revision)
    if output.chosen == "json":
        print(json.dumps(_facts(report), indent=2))
    else:
        _write(report, sys.stdout)
    if not report.healthy:
        raise Exit(FOUND)


def _of_server(target: str, server: ServerUnderTest, revision: str | None) -> DoctorReport:
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.doctor import Endpoint, ReferenceModel, check_endpoint

    key = os.environ.get(KEY_VARIABLE) if server.api_key is None else server.api_key
    endpoint = Endpoint(target, dialect=server.dialect, model=server.model, api_key=key, timeout=server.timeout)
    reference = server.reference
    if reference is None:
        with ProgressBar("asking the server") as bar:
            return check_endpoint(endpoint, on_progress=bar)
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.weights import resolve

    resolve(reference, revision)
    with ProgressBar("opening the reference") as bar, Reranker(reference, revision=revision) as reranker:
        bar.stage("asking the server")
        return check_endpoint(endpoint, ReferenceModel(reranker), bar)


def _facts(report: DoctorReport) -> dict[str, Any]:
    return {
        "target": report.target,
        "kind": report.kind,
        "healthy": report.healthy,
        "findings": [{"fault": finding.fault.name, **_parts(finding)} for finding in report.findings],
        "notes": list(report.notes),
        "undecided": list(report.undecided),
        "checked": list(report.checked),
    }


def _parts(finding: Finding) -> dict[str, str]:
    fault = finding.fault
    return {"meaning": fault.meaning, "evidence": finding.evidence, "cause": fault.cause, "fix": fault.fix}


def _write(report: DoctorReport, stream: TextIO) -> None:
    from rich.text import Text

    console = console_for(stream)
    console.width = max(40, min(_WIDEST, console.width))

    def section(title: Text, rows: Iterable[Sequence[str]]) -> None:
        print_line(console, "\n", title)
        print_table(RowTable([Column(), Column(fit=wrapped)], list(rows)), console, indent=GAP, headed=False)

    target = [[f"{report.target} ({report.kind})"]]
    print_table(RowTable([Column(fit=wrapped)], target), console, headed=False)
    count = len(report.findings)
    found = f"{count} {'fault' if count == 1 else 'faults'} found"
    section(Text("No fault found.", "bold green") if report.healthy else Text(found, "bold red"), [])
    for finding in report.findings:
        section(Text(finding.fault.name, "bold"), _parts(finding).items())
    for title, texts in (("Checked", report.checked), ("Noted", report.notes), ("Not decided", report.undecided)):
        if texts:
            section(Text(title, "bold"), (("-", text) for text in texts))
