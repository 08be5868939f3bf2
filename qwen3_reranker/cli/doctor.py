"""`doctor`: a server or a checkpoint -> what is wrong with it, the numbers that show it, how to repair it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.terminal import coloured, visible
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.doctor import DoctorReport

FORMATS = ("table", "json")
DIALECTS = ("auto", "cohere", "jina", "tei", "vllm-score", "llama.cpp")
FOUND = 1
KEY_VARIABLE = "QWEN3_RERANKER_API_KEY"
_WIDEST = 100
_INDENT = 10

Format = Annotated[str | None, flags.format_flag(FORMATS)]
Reference = Annotated[
    str | None,
    flags.flag(
        "Reference",
        "--reference",
        value="MODEL",
        meaning="The same weights here: a folder, a Hub id or nano. Tells faults of the prompt apart by their scores.",
    ),
]
Dialect = Annotated[
    str,
    flags.flag(
        "Server", "--dialect", value=flags.choice(DIALECTS), meaning="What the server speaks. [auto: each is tried]"
    ),
]
ModelName = Annotated[
    str | None,
    flags.flag("Server", "--model", "-m", value="NAME", meaning="The model's name in requests. [none]"),
]
Key = Annotated[
    str | None,
    flags.flag(
        "Server",
        "--api-key",
        value="KEY",
        meaning=f"Sent as a bearer token; better kept in the environment. [{KEY_VARIABLE}]",
    ),
]
Timeout = Annotated[
    float,
    flags.flag("Server", "--timeout", value="SECONDS", meaning="The most one request may take. [60]"),
]


def doctor(
    target: Annotated[str, Argument(metavar="TARGET")],
    *,
    reference: Reference = None,
    revision: flags.Revision = None,
    dialect: Dialect = "auto",
    model: ModelName = None,
    api_key: Key = None,
    timeout: Timeout = 60.0,
    form: Format = None,
) -> None:
    """Name what is wrong with a rerank server or a checkpoint.

    TARGET is the address of a server that speaks Cohere's, Jina's, TEI's, vLLM's or llama.cpp's format: its base,
    or one route. It is asked up to 60 short and 9 long questions. Name the same weights as --reference to tell
    faults of the prompt apart; without it, only what breaks a rule that every healthy server keeps is found.
    Any other TARGET is a folder, a .gguf file or a Hub id, whose files are checked; nothing in them is run.

    Exit codes: 0 nothing found, 1 findings, 2 wrong input, 3 a damaged reference, 4 no server answers.

    Examples:
      qwen3-reranker doctor http://localhost:8000
      qwen3-reranker doctor http://localhost:8000 --reference Qwen/Qwen3-Reranker-0.6B
      qwen3-reranker doctor https://api.example.com/v2/rerank --model rerank-1
      qwen3-reranker doctor ./my-model --format json
    """
    form = flags.chosen_format(form, FORMATS)
    flags.one_of("--dialect", dialect, DIALECTS)
    if not 0 < timeout < float("inf"):
        raise InputError(f"--timeout must be a number of seconds above 0, got {timeout:g}")
    from qwen3_reranker.weights.hub_name import is_address

    if target.startswith(("http://", "https://")) and not is_address(target):
        key = os.environ.get(KEY_VARIABLE) if api_key is None else api_key
        report = _of_server(target, reference, revision, dialect=dialect, model=model, api_key=key, timeout=timeout)
    else:
        from qwen3_reranker.cli.progress import ProgressBar
        from qwen3_reranker.doctor import check_files

        given = {"--reference": reference, "--model": model, "--api-key": api_key, "--dialect": dialect}
        if unused := [name for name, value in given.items() if value not in (None, "auto")]:
            raise InputError(f"{', '.join(unused)} is for servers, whose address begins with http:// or https://")
        # A download shows a bar of its own.
        with ProgressBar("examining") if os.path.exists(target) else nullcontext():
            report = check_files(target, revision)
    if form == "json":
        print(json.dumps(_facts(report), indent=2))
    else:
        print("\n".join(_lines(report)))
    if not report.healthy:
        raise Exit(FOUND)


def _of_server(target: str, reference: str | None, revision: str | None, **options: Any) -> DoctorReport:
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.doctor import Endpoint, ReferenceModel, check_endpoint

    endpoint = Endpoint(target, **options)
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
        "findings": [
            {
                "fault": finding.fault.name,
                "meaning": finding.fault.meaning,
                "evidence": finding.evidence,
                "cause": finding.fault.cause,
                "fix": finding.fault.fix,
            }
            for finding in report.findings
        ],
        "notes": list(report.notes),
        "undecided": list(report.undecided),
        "checked": list(report.checked),
    }


def _lines(report: DoctorReport) -> Iterator[str]:
    red, green, bold, plain = (
        ("\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m") if coloured(sys.stdout) else ("", "", "", "")
    )
    yield from _wrapped("", f"{report.target} ({report.kind})", 0)
    yield ""
    count = len(report.findings)
    if report.healthy:
        yield f"{green}{bold}No fault found.{plain}"
    else:
        yield f"{red}{bold}{count} {'fault' if count == 1 else 'faults'} found{plain}"
    for finding in report.findings:
        fault = finding.fault
        yield ""
        yield f"{bold}{fault.name}{plain}"
        parts = (("meaning", fault.meaning), ("evidence", finding.evidence), ("cause", fault.cause), ("fix", fault.fix))
        for name, text in parts:
            yield from _wrapped(f"  {name}", text, _INDENT + 2)
    for title, texts in (("Checked", report.checked), ("Noted", report.notes), ("Not decided", report.undecided)):
        if texts:
            yield ""
            yield f"{bold}{title}{plain}"
            for text in texts:
                yield from _wrapped("  -", text, 4)


def _wrapped(lead: str, text: str, indent: int) -> list[str]:
    width = max(40, min(_WIDEST, shutil.get_terminal_size().columns))
    filled = textwrap.wrap(visible(text), width - indent, break_on_hyphens=False) or [""]
    return [f"{lead:<{indent}}{filled[0]}", *(" " * indent + line for line in filled[1:])]
