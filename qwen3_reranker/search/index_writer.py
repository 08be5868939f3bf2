"""Writer: files and records into an index, one transaction a file, one writer at a time."""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from qwen3_reranker.documents.folder import SkippedFiles, paths_below
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.search.index_tables import word_row
from qwen3_reranker.search.prepared_file import (
    FileStamp,
    PreparedFile,
    context_of,
    prepared_file,
    prepared_record,
    stamp_of,
)
from qwen3_reranker.search.vectors import Vectors

#: Called with the files that are done and all that change.
OnFile = Callable[[int, int], None]
_EMBEDDED_AT_ONCE = 64


@dataclass(slots=True)
class Changes:
    """What an update did, in files: added, changed, removed, unchanged; and what it left out, by reason."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    passages: int = 0
    skipped: SkippedFiles = field(default_factory=SkippedFiles)

    def __str__(self) -> str:
        return f"{self.added:,} added, {self.changed:,} changed, {self.removed:,} removed, {self.unchanged:,} unchanged"


@dataclass(slots=True)
class Differences:
    """How a folder differs from what an index holds of it.

    wanted: paths that the index lacks, or has in an earlier state. gone: numbers of the files that are no longer there.
    is_complete: whether there was time to look at all files.
    """

    folder: str
    wanted: list[str] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    unchanged: int = 0
    is_complete: bool = True
    skipped: SkippedFiles = field(default_factory=SkippedFiles)


@contextmanager
def one_writer(folder: Path, seconds: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of an index's only writer. The lock ends with the process that holds it, however it dies.

    Raises UnavailableError if another writer has it for longer than `seconds`; on_wait is called once before waiting.
    """
    with (folder / "writer.lock").open("a") as lock:
        ends, waits = time.monotonic() + seconds, False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= ends:
                    raise UnavailableError(f"{folder}: another process writes to this index; try again later") from None
                if not waits:
                    on_wait()
                waits = True
                time.sleep(0.05)
        yield


def differences(database: sqlite3.Connection, collection: int, ends: float = math.inf) -> Differences:
    """Compare a collection of files with its folder, by sizes and times, until `ends` (time.monotonic()).

    Raises InputError if the folder is gone.
    """
    folder, glob = database.execute("SELECT folder, glob FROM collections WHERE id = ?", (collection,)).fetchone()
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: this folder is gone; remove its collection if that is meant")
    rows = database.execute(
        "SELECT path, id, size, mtime_ns, ctime_ns, reading FROM files WHERE collection = ?", (collection,)
    )
    known = {path: (number, FileStamp(*stamp)) for path, number, *stamp in rows}
    found = Differences(folder)
    for path in paths_below(folder, glob, found.skipped):
        if time.monotonic() > ends:
            found.is_complete = False
            return found
        try:
            stamp = stamp_of(os.stat(os.path.join(folder, path)), path)
        except OSError:
            continue
        _, before = known.pop(path, (0, None))
        if before == stamp:
            found.unchanged += 1
        else:
            found.wanted.append(path)
    found.gone = [number for number, _ in known.values()]
    return found


class Writer:
    """Writes to the tables of one index. Whoever calls holds the lock of `one_writer`."""

    def __init__(self, database: sqlite3.Connection, passage_tokens: int, extractor: TextExtractor) -> None:
        self._database = database
        self._passage_tokens = passage_tokens
        self._extractor = extractor

    def collection(self, name: str, folder: str | None, glob: str | None = None) -> int:
        """The number of a collection, made if it is not there. Raises InputError if it is of another folder."""
        found = self._database.execute("SELECT id, folder FROM collections WHERE name = ?", (name,)).fetchone()
        if found is None:
            made = self._database.execute(
                "INSERT INTO collections (name, folder, glob) VALUES (?, ?, ?)", (name, folder, glob)
            )
            assert made.lastrowid is not None
            return made.lastrowid
        if found[1] != folder:
            held = "records" if found[1] is None else found[1]
            raise InputError(f"the collection {name!r} holds {held}; choose another name")
        if glob is not None:
            self._database.execute("UPDATE collections SET glob = ? WHERE id = ?", (glob, found[0]))
        return int(found[0])

    def update(self, collection: int, changes: Changes, on_file: OnFile | None = None) -> None:
        """Bring a collection of files to the state of its folder."""
        found = differences(self._database, collection)
        changes.unchanged += found.unchanged
        changes.skipped = found.skipped
        total = len(found.wanted) + len(found.gone)
        for done, number in enumerate(found.gone, start=1):
            self._replace(collection, number, None)
            changes.removed += 1
            if on_file:
                on_file(done, total)
        for done, path in enumerate(found.wanted, start=len(found.gone) + 1):
            self.put(collection, prepared_file(found.folder, path, self._passage_tokens, self._extractor), changes)
            if on_file:
                on_file(done, total)
        self._database.execute("UPDATE collections SET updated = ? WHERE id = ?", (time.time(), collection))

    def put(self, collection: int, file: PreparedFile, changes: Changes) -> None:
        """Write one file in place of what the index holds of it."""
        found = self._database.execute(
            "SELECT id, sha256 FROM files WHERE collection = ? AND path = ?", (collection, file.path)
        ).fetchone()
        if file.skipped:
            changes.skipped.add(file.skipped, file.path)
        if found is not None and found[1] == file.sha256:
            # Only its time changed.
            self._database.execute(
                "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ?, reading = ? WHERE id = ?",
                (*astuple(file.stamp), found[0]),
            )
            changes.unchanged += 1
            return
        self._replace(collection, found and found[0], file)
        changes.passages += sum(len(document.passages) for document in file.documents)
        if found is None:
            changes.added += not file.skipped
        else:
            changes.changed += 1

    def put_records(self, collection: int, records: Iterable[Mapping[str, Any]], changes: Changes) -> None:
        """Write records in place of those with the same id. Raises InputError for one without an id or a text."""
        for place, record in enumerate(records):
            self.put(collection, prepared_record(record, place, self._passage_tokens), changes)
        self._database.execute("UPDATE collections SET updated = ? WHERE id = ?", (time.time(), collection))

    def embed_passages(self, embedder: Embedder, vectors: Vectors) -> None:
        """Give each passage without a vector one, some at a time, so that what is done stays done."""
        execute = self._database.execute
        while waiting := execute(
            "SELECT id, headings, text FROM passages WHERE vector IS NULL ORDER BY id LIMIT ?", (_EMBEDDED_AT_ONCE,)
        ).fetchall():
            texts = [f"{headings}\n{text}" if headings else text for _, headings, text in waiting]
            [used] = execute("SELECT coalesce((SELECT value FROM settings WHERE name = 'vector_rows'), 0)").fetchone()
            vectors.append(embedder.documents(texts), used)
            execute("BEGIN IMMEDIATE")
            with self._database:
                named = [(row, passage) for row, (passage, _, _) in enumerate(waiting, start=used)]
                self._database.executemany("UPDATE passages SET vector = ? WHERE id = ?", named)
                execute("INSERT OR REPLACE INTO settings VALUES ('vector_rows', ?)", (used + len(waiting),))

    def remove_collection(self, collection: int, changes: Changes) -> None:
        """Remove all files of a collection, and the collection."""
        for [number] in self._database.execute("SELECT id FROM files WHERE collection = ?", (collection,)).fetchall():
            self._replace(collection, number, None)
            changes.removed += 1
        self._database.execute("DELETE FROM collections WHERE id = ?", (collection,))

    def remove_files(self, numbers: Iterable[int], changes: Changes) -> None:
        """Remove files by their numbers."""
        for number in numbers:
            self._replace(0, number, None)
            changes.removed += 1

    def _replace(self, collection: int, number: int | None, file: PreparedFile | None) -> None:
        """In one transaction: delete the file of that number, and write the new one."""
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        with self._database:
            if number is not None:
                self._delete(number)
            if file is None:
                return
            written = execute(
                "INSERT INTO files (id, collection, path, size, mtime_ns, ctime_ns, reading, sha256) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (number, collection, file.path, *astuple(file.stamp), file.sha256),
            ).lastrowid
            for document in file.documents:
                of = execute(
                    "INSERT INTO documents (file, name, title, fields) VALUES (?, ?, ?, ?)",
                    (written, document.name, document.title, document.fields),
                ).lastrowid
                for row in document.passages:
                    passage = execute(
                        "INSERT INTO passages (document, first_line, last_line, part, headings, text) "
                        "VALUES (?, ?, ?, ?, ?, ?)",
                        (of, row.first_line, row.last_line, row.part, row.headings, row.text),
                    ).lastrowid
                    execute(
                        "INSERT INTO words (rowid, body, context) VALUES (?, ?, ?)", (passage, row.body, row.context)
                    )

    def _delete(self, number: int) -> None:
        execute = self._database.execute
        rows = execute(
            "SELECT passages.id, text, path, title, headings FROM passages JOIN documents ON document = documents.id "
            "JOIN files ON file = files.id WHERE file = ?",
            (number,),
        ).fetchall()
        for passage, text, path, title, headings in rows:
            execute(
                "INSERT INTO words (words, rowid, body, context) VALUES ('delete', ?, ?, ?)",
                (passage, *word_row(text, context_of(path, title, headings))),
            )
        execute("DELETE FROM passages WHERE document IN (SELECT id FROM documents WHERE file = ?)", (number,))
        execute("DELETE FROM documents WHERE file = ?", (number,))
        execute("DELETE FROM files WHERE id = ?", (number,))
