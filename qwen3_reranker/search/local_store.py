"""LocalStore: an index in one folder of this machine: SQLite, and a file of vectors."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.index_store import (
    CollectionStatus,
    PassageText,
    Scored,
    StoredCollection,
    StoredPassage,
    Written,
)
from qwen3_reranker.search.index_tables import COLUMNS, OF_PASSAGES, open_database, word_row
from qwen3_reranker.search.prepared_file import FileStamp, PreparedFile, context_of
from qwen3_reranker.search.retrieval import VectorSearch, WordSearch
from qwen3_reranker.search.vectors import Vectors
from qwen3_reranker.search.writer_lock import one_writer

_DATABASE = "index.db"
# The number of a file.
_NUMBER = "SELECT files.id FROM files JOIN collections ON collection = collections.id WHERE name = ? AND path = ?"


class LocalStore:
    """The store in a folder, which is made if it is not there; wait: seconds for another writer.

    One transaction a file. Raises UnavailableError for a folder that holds an index of another version.
    """

    def __init__(self, folder: str | os.PathLike[str], wait: float = 60.0) -> None:
        self.folder = Path(folder)
        self.name = str(self.folder)
        with _reached(self.name):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.scores = self.folder / "scores.db"
        self._wait = wait
        # What reads a whole collection takes long, and no search should wait for it.
        self._rows, self._all_rows = (_Rows(self.folder / _DATABASE, self.name) for _ in range(2))
        self._words = WordSearch(open_database(self.folder / _DATABASE))
        self._nearest = VectorSearch(open_database(self.folder / _DATABASE))
        self._vectors: Vectors | None = None

    @staticmethod
    def exists(folder: str | os.PathLike[str]) -> bool:
        """Whether a folder holds an index."""
        return Path(folder, _DATABASE).is_file()

    def setting(self, name: str, default: str | int) -> Any:
        """As `IndexStore`."""
        read = "SELECT value FROM settings WHERE name = ?"
        if not (found := self._rows(read, name)):
            self._rows("INSERT OR IGNORE INTO settings VALUES (?, ?)", name, default)
            found = self._rows(read, name)
        return found[0][0]

    def collections(self) -> dict[str, StoredCollection]:
        """As `IndexStore`."""
        found = self._rows("SELECT name, folder, glob FROM collections ORDER BY name")
        return {name: StoredCollection(folder, glob) for name, folder, glob in found}

    def status(self) -> list[CollectionStatus]:
        """As `IndexStore`."""
        return [
            CollectionStatus(*row)
            for row in self._all_rows(
                "SELECT collections.name, folder, count(DISTINCT documents.file), count(passages.id), updated "
                "FROM collections LEFT JOIN files ON collection = collections.id "
                "LEFT JOIN documents ON file = files.id LEFT JOIN passages ON document = documents.id "
                "GROUP BY collections.id ORDER BY collections.name"
            )
        ]

    def stamps(self, collection: str) -> dict[str, FileStamp]:
        """As `IndexStore`."""
        read = (
            "SELECT path, size, mtime_ns, ctime_ns, reading FROM files JOIN collections ON collection = collections.id "
        )
        return {path: FileStamp(*stamp) for path, *stamp in self._all_rows(f"{read} WHERE name = ?", collection)}

    def stamps_at(self, path: str, collection: str | None) -> dict[str, FileStamp]:
        """As `IndexStore`."""
        found = self._rows(
            "SELECT name, size, mtime_ns, ctime_ns, reading FROM files JOIN collections ON collections.id = collection "
            "WHERE path = ? AND name = coalesce(?, name) AND EXISTS (SELECT 1 FROM documents WHERE file = files.id)",
            path,
            collection,
        )
        return {name: FileStamp(*stamp) for name, *stamp in found}

    def by_words(self, query: str, count: int, filters: Filters, deadline: float = math.inf) -> list[Scored]:
        """As `IndexStore`."""
        with _reached(self.name):
            return self._words.top(query, count, filters.sql(), deadline)

    def by_vector(self, query_D: NDArray[np.float32], count: int, filters: Filters) -> list[Scored]:
        """As `IndexStore`."""
        with _reached(self.name):
            return self._nearest.top(self.vectors(len(query_D)), query_D, count, filters.sql())

    def passages(self, numbers: Collection[int]) -> dict[int, StoredPassage]:
        """As `IndexStore`."""
        marks = ",".join("?" * len(numbers))
        read = f"SELECT {COLUMNS} FROM passages {OF_PASSAGES} WHERE passages.id IN ({marks})"
        return {row[0]: StoredPassage(*row) for row in self._rows(read, *numbers)}

    @contextmanager
    def writing(self) -> Iterator[LocalWriter]:
        """As `IndexStore`. The writer has a connection of its own: searches go on meanwhile."""
        with _reached(self.name), one_writer(self.folder, self._wait):
            database = open_database(self.folder / _DATABASE)
            try:
                yield LocalWriter(database, self)
            finally:
                database.close()

    def vectors(self, dim: int) -> Vectors:
        """The rows of vectors, each of `dim` numbers."""
        if self._vectors is None:
            self._vectors = Vectors(self.folder / "vectors.bin", dim)
        return self._vectors

    def close(self) -> None:
        """As `IndexStore`."""
        self._words.close()
        self._nearest.close()
        self._rows.close()
        self._all_rows.close()
        # It holds the file as long as it is there.
        self._vectors = None


class _Rows:
    """Reads rows through a connection of its own, for one thread after the other.

    A connection keeps its statements, and two threads at once would bind their values to the same one.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._database = open_database(path)
        self._name = name
        self._lock = threading.Lock()

    def __call__(self, query: str, *values: object) -> list[Any]:
        with _reached(self._name), self._lock:
            return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._database.close()


@contextmanager
def _reached(name: str) -> Iterator[None]:
    """Errors of SQLite and of files become UnavailableError; a search that is out of time stays a TimeoutError."""
    try:
        yield
    except TimeoutError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise UnavailableError(f"{name}: the index cannot be read or written ({error})") from error


class LocalWriter:
    """Writes to the tables of one index. Whoever opens it holds the lock of `one_writer`."""

    vectors_at_once = 64

    def __init__(self, database: sqlite3.Connection, store: LocalStore) -> None:
        self._database = database
        self._store = store

    def put_collection(self, name: str, held: StoredCollection, updated: float | None = None) -> None:
        """As `StoreWriter`."""
        self._database.execute(
            "INSERT INTO collections (name, folder, glob, updated) VALUES (?, ?, ?, coalesce(?, 0)) ON CONFLICT (name) "
            "DO UPDATE SET folder = excluded.folder, glob = excluded.glob, updated = coalesce(?, updated)",
            (name, held.folder, held.glob, updated, updated),
        )

    def remove_collection(self, name: str) -> None:
        """As `StoreWriter`."""
        self._database.execute("DELETE FROM collections WHERE name = ?", (name,))

    def put(self, collection: str, file: PreparedFile) -> Written:
        """As `StoreWriter`."""
        read = _NUMBER.replace("files.id", "files.id, sha256")
        found = self._database.execute(read, (collection, file.path)).fetchone()
        if found is not None and found[1] == file.sha256:
            # Only its time changed.
            self._database.execute(
                "UPDATE files SET size = ?, mtime_ns = ?, ctime_ns = ?, reading = ? WHERE id = ?",
                (*astuple(file.stamp), found[0]),
            )
            return Written.UNCHANGED
        self._replace(collection, found and found[0], file)
        return Written.ADDED if found is None else Written.CHANGED

    def remove(self, collection: str, paths: Sequence[str]) -> None:
        """As `StoreWriter`."""
        for path in paths:
            for [number] in self._database.execute(_NUMBER, (collection, path)).fetchall():
                self._replace(collection, number, None)

    def without_vectors(self, count: int) -> list[PassageText]:
        """As `StoreWriter`."""
        read = "SELECT id, headings, text FROM passages WHERE vector IS NULL ORDER BY id LIMIT ?"
        return [PassageText(*row) for row in self._database.execute(read, (count,))]

    def put_vectors(self, passages: Sequence[int], vectors_ND: NDArray[np.float32]) -> None:
        """As `StoreWriter`."""
        execute = self._database.execute
        [used] = execute("SELECT coalesce((SELECT value FROM settings WHERE name = 'vector_rows'), 0)").fetchone()
        self._store.vectors(vectors_ND.shape[1]).append(vectors_ND, used)
        execute("BEGIN IMMEDIATE")
        with self._database:
            named = [(row, passage) for row, passage in enumerate(passages, start=used)]
            self._database.executemany("UPDATE passages SET vector = ? WHERE id = ?", named)
            execute("INSERT OR REPLACE INTO settings VALUES ('vector_rows', ?)", (used + len(passages),))

    def _replace(self, collection: str, number: int | None, file: PreparedFile | None) -> None:
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
                "VALUES (?, (SELECT id FROM collections WHERE name = ?), ?, ?, ?, ?, ?, ?)",
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
