"""`index`: files and folders -> a search index, kept up to date."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.help import Verb, VerbGroup
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.search.index_writer import Changes
    from qwen3_reranker.search.search_index import Index

INDEX_VARIABLE = "QWEN3_RERANKER_INDEX"

index = typer.Typer(cls=VerbGroup, add_completion=False)
Names = Annotated[list[str] | None, Argument(metavar="COLLECTION...")]


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """Where the index is, and how it finds by meaning."""

    group: ClassVar[str] = "Index"
    index: str | None = option(
        None,
        "The folder of the index, or its URL in LanceDB, such as lancedb+s3://bucket/index.",
        unit="FOLDER|URL",
        shown=f"{INDEX_VARIABLE}, or ~/.local/share/qwen3_reranker/index",
    )
    embedder: str | None = option(
        None,
        "A Qwen3-Embedding model, to find passages by meaning too; give it to `add`, `update` and `search`.",
        unit="NAME",
    )


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """What to add."""

    group: ClassVar[str] = "Files"
    glob: str | None = option(
        None,
        "Read only files with a name that matches; a PATTERN with a / is compared with paths below the folder.",
        unit="PATTERN",
    )
    name: str | None = option(None, "The name of the collection.", unit="NAME", shown="the folder's own name")


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How often to look."""

    group: ClassVar[str] = "Files"
    every: float = option(2.0, "Look for changes again after this time.", unit="SECONDS")


@index.callback(invoke_without_command=True)
def _index(context: typer.Context) -> None:
    """Keep a search index of files on this machine.

    Each folder that is added is a collection. Markdown is cut into passages at headings, code at definitions, other
    text at blank lines; files of records (.jsonl, .json, .csv, .tsv) give a document a record. Passages of PDF and
    office documents know their page, slide or row. Nothing leaves the machine, and nothing in the folders is changed.

    Examples:
      qwen3-reranker index add ~/notes
      qwen3-reranker index add ~/src/project --glob '*.py'
      qwen3-reranker index update
      qwen3-reranker index status
      qwen3-reranker search "take back my last commit"
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@index.command("add", cls=Verb)
@declared
def add(folders: Annotated[list[str], Argument(metavar="FOLDER...")], *, add: AddOptions, index: IndexOptions) -> None:
    """Add folders, or bring them up to date.

    Ctrl-C keeps the files that are done; the same command goes on.

    Examples:
      qwen3-reranker index add ~/notes
      qwen3-reranker index add ~/src/project --glob '*.py' --name project
    """
    if add.name is not None and len(folders) > 1:
        raise InputError("--name names one collection, and several folders were given")
    with opened_index(index) as opened:
        for folder in folders:
            add_folder(opened, folder, add.glob, add.name)


@index.command("update", cls=Verb)
@declared
def update(names: Names = None, *, index: IndexOptions) -> None:
    """Read the files that changed, and forget those that are gone.

    Examples:
      qwen3-reranker index update
      qwen3-reranker index update notes
    """
    with opened_index(index) as opened, ProgressBar("updating") as bar:
        changes = opened.update(names or None, on_file=lambda done, total: bar(done / total))
    _tell("updated", changes)


@index.command("watch", cls=Verb)
@declared
def watch(names: Names = None, *, watching: WatchOptions, index: IndexOptions) -> None:
    """Keep the index up to date until Ctrl-C.

    Examples:
      qwen3-reranker index watch
      qwen3-reranker index watch notes --every 10
    """
    if not watching.every > 0:
        raise InputError(f"--every must be more than 0 seconds, got {watching.every:g}")
    with opened_index(index) as opened:
        note(f"watching {', '.join(names or [each.name for each in opened.status()]) or 'nothing'}; Ctrl-C ends it")
        while True:
            changes = opened.update(names or None)
            if changes.added or changes.changed or changes.removed:
                _tell("updated", changes)
            time.sleep(watching.every)
            # An update writes even if nothing changed, and on object storage each write is paid for.
            while not opened.stale(names or None, math.inf).changed:
                time.sleep(watching.every)


@index.command("status", cls=Verb)
@declared
def status(*, index: IndexOptions, output: PrintOptions) -> None:
    """Show what the index holds, and whether files changed since.

    Examples:
      qwen3-reranker index status
      qwen3-reranker index status --format json
    """
    from qwen3_reranker.cli.terminal import console_for, print_table
    from qwen3_reranker.row_table import Column, RowTable

    with opened_index(index) as opened:
        collections = opened.status()
        changed: dict[str, int | None] = {}
        for each in collections:
            is_there = each.folder is not None and os.path.isdir(each.folder)
            changed[each.name] = opened.stale([each.name], 10.0).changed if is_there else None
        if output.chosen == "json":
            facts = [{**asdict(each), "changed": changed[each.name]} for each in collections]
            print(json.dumps({"index": str(opened.name), "collections": facts}, indent=2))
            return
        if not collections:
            note(f"{opened.name} holds nothing yet; qwen3-reranker index add FOLDER")
            return
        rows = [
            [
                each.name,
                f"{each.files:,}",
                f"{each.passages:,}",
                f"{datetime.fromtimestamp(each.updated):%Y-%m-%d %H:%M}" if each.updated else "never",
                _state(each.folder, changed[each.name]),
                each.folder or "records",
            ]
            for each in collections
        ]
        columns = [
            Column("collection"),
            Column("files", right=True),
            Column("passages", right=True),
            Column("updated"),
            Column("since then"),
            Column("folder"),
        ]
        print_table(RowTable(columns, rows), console_for(sys.stdout))


@index.command("remove", cls=Verb)
@declared
def remove(names: Annotated[list[str], Argument(metavar="COLLECTION...")], *, index: IndexOptions) -> None:
    """Remove collections from the index. The files themselves stay.

    Examples:
      qwen3-reranker index remove notes
    """
    with opened_index(index) as opened:
        for name in names:
            changes = opened.remove(name)
            print(f"{name}: removed {changes.removed:,} files from the index")


@contextmanager
def opened_index(
    options: IndexOptions,
    model: ModelOptions | None = None,
    engine: EngineOptions | None = None,
    server: ServerOptions | None = None,
    budget: float | None = None,
) -> Iterator[Index]:
    """The index that the options name; its reranker is the model or server, with these options, once it is needed.

    budget: the seconds of a search, which a server has to answer in where its options name no deadline.
    """
    from qwen3_reranker.cli.opened_reranker import (
        is_server,
        open_reranker,
        refuse_local_options,
        refuse_server_options,
        warnings_noted,
    )
    from qwen3_reranker.search import Index

    given = None
    if model is not None:
        reach, engine = server or ServerOptions(), engine or EngineOptions()
        refuse_server_options(model, reach)
        # The model is opened after the files are read, which may take long.
        refuse_local_options(model, engine)
        if is_server(model.model) and reach.deadline is None:
            reach = replace(reach, deadline=budget)
        given = partial(open_reranker, model, engine, reach)
    with (
        warnings_noted(),
        Index(index_address(options.index), reranker=given, embedder=options.embedder) as opened,
    ):
        yield opened


def index_address(named: str | None) -> str | Path:
    """The folder or URL of the index: what was named, what the environment names, or the user's own folder."""
    if chosen := named or os.environ.get(INDEX_VARIABLE):
        return chosen if "://" in chosen else Path(chosen).expanduser()
    # Its specification says that a path which is not absolute is to be ignored.
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else Path.home() / ".local" / "share") / "qwen3_reranker" / "index"


def add_folder(opened: Index, folder: str, glob: str | None, name: str | None = None) -> Changes:
    """Add a folder with a progress bar, and say what changed."""
    with ProgressBar(f"indexing {folder}") as bar:
        changes = opened.add(folder, glob=glob, collection=name, on_file=lambda done, total: bar(done / total))
    _tell(folder, changes)
    return changes


def _tell(what: str, changes: Changes) -> None:
    note(f"{what}: {changes}")
    if changes.skipped.reasons:
        note(f"left out: {changes.skipped}")


def _state(folder: str | None, changed: int | None) -> str:
    if changed is None:
        return "" if folder is None else "folder is gone"
    return f"{changed:,} changed" if changed else "up to date"
