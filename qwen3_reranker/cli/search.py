"""`search`: a query -> the passages of one's own files that answer it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.index import IndexOptions, add_folder, opened_index
from qwen3_reranker.cli.ranking_output import explanation_fields
from qwen3_reranker.cli.shared_options import ModelOrServerOptions, PrintOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.why_options import WhyOptions
from qwen3_reranker.documents.kinds import DOCUMENTS, ending
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.selection_options import SelectionOptions

if TYPE_CHECKING:
    from qwen3_reranker.explanation import Explanation
    from qwen3_reranker.search.results import SearchResults
    from qwen3_reranker.search.search_index import Index

_SECONDS = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
# Looking for changed files may take so long; a person waits for the answer.
_STALE_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SelectionOptions):
    """How much to find, how long to take, and which documents may be found."""

    group: ClassVar[str] = "Search"
    limit: int = option(10, "Show the N best documents.", unit="N", flag="--limit, -k", least=1)
    budget: str | None = option(
        None,
        "Answer within this time, such as 2s or 500ms, with what is judged by then.",
        unit="TIME",
        shown="no limit",
    )
    candidates: int = option(40, "Judge the N best passages of the first stage.", unit="N", least=1)
    rerank: bool = option(True, "Judge the candidates; the order is the first stage's.")
    instruction: str | None = option(
        None, "Say what makes a document relevant, best in English.", unit="TEXT", shown="the model's own"
    )
    collection: list[str] | None = option(
        None, "Search only this collection; may be repeated.", unit="NAME", group="Filters"
    )
    path: str | None = option(
        None, "Search only files with a path that matches, such as 'docs/*.md'.", unit="PATTERN", group="Filters"
    )
    after: str | None = option(
        None, "Only documents of this day or later, such as 2026-11-30.", unit="DATE", group="Filters"
    )
    before: str | None = option(None, "Only documents before this day.", unit="DATE", group="Filters")
    where: list[str] | None = option(
        None,
        "Only documents with this value in their front matter or record; may be repeated.",
        unit="FIELD=VALUE",
        group="Filters",
    )


@dataclass(frozen=True, kw_only=True)
class SearchOutput(PrintOptions, WhyOptions):
    """How to print the results."""

    files: bool = option(False, "Print only the paths of the files, best first.", group="Output")
    open: bool = option(False, "Open the best result at its line, with VISUAL or EDITOR.", group="Output")


@declared
def search(
    query: Annotated[str, Argument(metavar="QUERY")],
    folders: Annotated[list[str] | None, Argument(metavar="FOLDER...")] = None,
    *,
    searching: SearchOptions,
    index: IndexOptions,
    output: SearchOutput,
    model: ModelOrServerOptions,
    engine: Annotated[EngineOptions, without("prompt", "special_tokens")],
    server: ServerOptions,
) -> None:
    """Search your own files: words find candidates, the reranker judges them.

    A FOLDER is indexed first, or its changes are, and only it is searched; the index is kept for the next time. Without
    one, all that `index add` added is searched. Each result says where its best passage lies and how it was ranked:
    judged by the reranker, with its probability, or by the first stage alone.

    Examples:
      qwen3-reranker search "take back my last commit" docs/
      qwen3-reranker search "who may sign a contract" --budget 2s
      qwen3-reranker search "who may sign a contract" -k 3 --why
      qwen3-reranker search "who may sign a contract" -m http://localhost:8000
      qwen3-reranker search "retry with backoff" --path '*.py' --no-rerank
      qwen3-reranker search "who may sign a contract" --fold 0.8 --fit 2000
      qwen3-reranker search "travel costs" --where status=final --format json
    """
    from qwen3_reranker.search import Filters

    output.refuse_why(output.chosen, "--files" if output.files else "")
    if output.why and not searching.rerank:
        raise InputError("--why explains what the reranker says: leave --no-rerank out")
    budget = None if searching.budget is None else _seconds(searching.budget)
    fields = tuple(_field(each) for each in searching.where or ())
    for folder in folders or ():
        if not os.path.isdir(folder):
            raise InputError(f"{folder}: no such folder")

    with opened_index(index, model if searching.rerank else None, engine, server, budget) as opened:
        names = searching.collection
        if folders:
            for folder in folders:
                add_folder(opened, folder, None)
            wanted = {os.path.abspath(folder) for folder in folders}
            names = [each.name for each in opened.status() if each.folder in wanted]
        elif not opened.status():
            raise InputError(
                "nothing is indexed yet: name a folder after the query, or add one with qwen3-reranker index add FOLDER"
            )
        else:
            _note_staleness(opened, names)
        results = opened.search(
            query,
            searching.limit,
            instruction=searching.instruction,
            budget=budget,
            filters=Filters(searching.path, names, searching.after, searching.before, fields),
            rerank=searching.rerank,
            candidates=searching.candidates,
            selection=SelectionOptions.of(**searching.given),
        )
        explanations = [
            output.explained(partial(opened.explain, query, hit), searching.instruction)
            for hit in results
            if output.why
        ]
    _write(results, query, output, explanations)
    if output.open and results:
        _open(results[0].absolute_path, results[0].first_line)


def _write(
    results: SearchResults, query: str, output: SearchOutput, explanations: Sequence[Sequence[Explanation]]
) -> None:
    """Print the hits, each with its explanations if there are any. --budget has no part in what those take."""
    if output.files:
        for path in dict.fromkeys(hit.absolute_path or hit.path for hit in results):
            print(path)
    elif output.chosen == "json":
        found = results.to_dict()
        for hit, each in zip(found["hits"], explanations, strict=False):
            hit["explanation"] = {"document": each[0].document, **explanation_fields(each)}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        from qwen3_reranker.cli.search_table import write_results

        write_results(results, query, sys.stdout, explanations)


def _note_staleness(opened: Index, names: Sequence[str] | None) -> None:
    there = [each.name for each in opened.status() if each.folder is not None and (names is None or each.name in names)]
    try:
        stale = opened.stale(there, _STALE_SECONDS)
    except InputError as error:
        note(str(error))
        return
    if stale.changed:
        more = "" if stale.is_complete else " or more"
        note(f"{stale.changed:,}{more} files changed since the index was updated; qwen3-reranker index update")


def _seconds(written: str) -> float:
    found = _SECONDS.fullmatch(written.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not seconds > 0:
        raise InputError(f"--budget {written}: expected a time above 0, such as 2s or 500ms")
    return seconds


def _field(written: str) -> tuple[str, str]:
    name, separator, value = written.partition("=")
    if not name or not separator:
        raise InputError(f"--where {written}: expected FIELD=VALUE")
    return name, value


def _open(path: str, line: int) -> None:
    """Open a file at a line, as most editors understand it, or a PDF or office document with the system's program."""
    if path and ending(path) in DOCUMENTS:
        command, at = ["open" if sys.platform == "darwin" else "xdg-open"], [path]
    else:
        command, at = _at_line(path, line)
    try:
        subprocess.run([*command, *at], check=False)
    except OSError as error:
        raise InputError(f"{command[0]}: cannot be run ({error.strerror or error})") from None


def _at_line(path: str, line: int) -> tuple[list[str], list[str]]:
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not command or not path:
        raise InputError("--open needs an editor in VISUAL or EDITOR, and a result that is a file")
    name = os.path.basename(command[0])
    return command, ["--goto", f"{path}:{line}"] if name.startswith(("code", "cursor", "zed")) else [f"+{line}", path]
