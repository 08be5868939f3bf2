"""LanceStore: an index in LanceDB, in a folder or on object storage, which many machines read.

Our own words are the tokens of its full-text index, separated by blanks. New rows are searched before they are indexed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, BTree
from lancedb.query import BooleanQuery, MatchQuery, Occur
from numpy.typing import NDArray

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.index_store import CollectionStatus, Scored, StoredCollection, StoredPassage
from qwen3_reranker.search.lance_rows import IS_FIRST, SCHEMA, STAMP, condition, quoted
from qwen3_reranker.search.lance_writer import LanceWriter
from qwen3_reranker.search.prepared_file import FileStamp
from qwen3_reranker.search.retrieval import CONTEXT_WEIGHT
from qwen3_reranker.search.words import is_one_character, words_and_parts
from qwen3_reranker.search.writer_lease import leased
from qwen3_reranker.search.writer_lock import one_writer

#: Raised when a column or `words_and_parts` changes.
_VERSION = 1
_SETTINGS = pa.schema([("name", pa.string()), ("text", pa.string()), ("number", pa.int64())])
_COLLECTIONS = pa.schema(
    [("name", pa.string()), ("folder", pa.string()), ("glob", pa.string()), ("updated", pa.float64())]
)
_LEASE = pa.schema([("holder", pa.string()), ("expires", pa.float64())])
_LONGEST = 300
_WORDS = ("body", "context", "characters")
_PASSAGE = [name for name in StoredPassage._fields if name != "folder"]


class LanceStore:
    """The store at a URI of LanceDB: a folder, or such as s3://bucket/path with its credentials in the environment.

    wait: seconds for another writer. A commit brings some thousand passages. Raises UnavailableError if the place
    cannot be reached, or holds an index of another version.
    """

    def __init__(self, uri: str, wait: float = 60.0) -> None:
        self.name = _name(uri)
        # A folder of this machine may not be where the index is.
        self.scores = Path(":memory:")
        self._uri, self._wait, self._process = uri, wait, os.getpid()
        with self.reached():
            database = lancedb.connect(uri, read_consistency_interval=timedelta(0))
            self._settings = _table(database, "settings", _SETTINGS)
            self.collection_rows = _table(database, "collections", _COLLECTIONS)
            self.passage_rows = _table(database, "passages", SCHEMA)
            self._lease = None if _is_folder(uri) else _table(database, "writer", _LEASE, {"holder": "", "expires": 0})
            self.small_tables = [table for table in (self.collection_rows, self._lease) if table is not None]
            _index(self.passage_rows)
        if (found := self.setting("version", _VERSION)) != _VERSION:
            raise UnavailableError(
                f"{self.name}: an index of version {found}, and this release reads {_VERSION}; make another one"
            )

    @staticmethod
    def exists(uri: str) -> bool:
        """Whether a place holds an index."""
        if _is_folder(uri) and not os.path.isdir(uri):
            return False
        with _reached(_name(uri)):
            return "passages" in lancedb.connect(uri).list_tables().tables

    def setting(self, name: str, default: str | int) -> str | int:
        """As `IndexStore`."""
        for is_new in (False, True):
            if found := self.rows(self._settings, f"name = {quoted(name)}", ["text", "number"]):
                value: str | int = found[0]["number"] if found[0]["text"] is None else found[0]["text"]
                return value
            if not is_new:
                row: dict[str, str | int | None] = {"name": name, "text": None, "number": None}
                row["text" if isinstance(default, str) else "number"] = default
                with self.reached():
                    table = pa.Table.from_pylist([row], _SETTINGS)
                    self._settings.merge_insert("name").when_not_matched_insert_all().execute(table)
        return default

    def collections(self) -> dict[str, StoredCollection]:
        """As `IndexStore`."""
        found = sorted(self.rows(self.collection_rows, "", ["name", "folder", "glob"]), key=lambda row: row["name"])
        return {row["name"]: StoredCollection(row["folder"], row["glob"]) for row in found}

    def status(self) -> list[CollectionStatus]:
        """As `IndexStore`."""
        found = []
        for row in self.rows(self.collection_rows, "", _COLLECTIONS.names):
            held = f"collection = {quoted(row['name'])} AND text IS NOT NULL"
            with self.reached():
                files = self.passage_rows.count_rows(f"{held} AND {IS_FIRST}")
                passages = self.passage_rows.count_rows(held)
            found.append(CollectionStatus(row["name"], row["folder"], files, passages, row["updated"]))
        return sorted(found, key=lambda each: each.name)

    def stamps(self, collection: str) -> dict[str, FileStamp]:
        """As `IndexStore`."""
        found = self.rows(self.passage_rows, f"collection = {quoted(collection)} AND {IS_FIRST}", ["path", *STAMP])
        return {row["path"]: FileStamp(*(row[name] for name in STAMP)) for row in found}

    def stamps_at(self, path: str, collection: str | None) -> dict[str, FileStamp]:
        """As `IndexStore`."""
        where = f"path = {quoted(path)} AND text IS NOT NULL AND {IS_FIRST}"
        if collection is not None:
            where += f" AND collection = {quoted(collection)}"
        found = self.rows(self.passage_rows, where, ["collection", *STAMP])
        return {row["collection"]: FileStamp(*(row[name] for name in STAMP)) for row in found}

    def by_words(self, query: str, count: int, filters: Filters, deadline: float = math.inf) -> list[Scored]:
        """As `IndexStore`. All words of the query count, the common ones too."""
        where = condition(filters)
        wanted = list(dict.fromkeys(words_and_parts(query)))
        whole = " ".join(word for word in wanted if not is_one_character(word))
        characters = " ".join(filter(is_one_character, wanted))
        matches = [MatchQuery(whole, "body"), MatchQuery(whole, "context", boost=CONTEXT_WEIGHT)] if whole else []
        matches += [MatchQuery(characters, "characters")] if characters else []
        if not matches:
            return []
        with self.reached():
            asked = self.passage_rows.search(BooleanQuery([(Occur.SHOULD, each) for each in matches]), query_type="fts")
            found = _bounded(asked, where).select(["passage", "_score"]).limit(count).to_arrow()
        return list(zip(found["passage"].to_pylist(), found["_score"].to_pylist(), strict=True))

    def by_vector(self, query_D: NDArray[np.float32], count: int, filters: Filters) -> list[Scored]:
        """As `IndexStore`. The scan is exact."""
        where = condition(filters)
        with self.reached():
            if "vector" not in self.passage_rows.schema.names:
                return []
            asked = self.passage_rows.search(query_D, vector_column_name="vector").distance_type("cosine")
            where = f"vector IS NOT NULL AND {where}" if where else "vector IS NOT NULL"
            found = asked.where(where).select(["passage", "_distance"]).limit(count).to_arrow()
        cosines = (1 - found["_distance"].to_numpy()).tolist()
        return list(zip(found["passage"].to_pylist(), cosines, strict=True))

    def passages(self, numbers: Collection[int]) -> dict[int, StoredPassage]:
        """As `IndexStore`."""
        if not numbers:
            return {}
        listed = ", ".join(map(str, numbers))
        found = self.rows(self.passage_rows, f"passage IN ({listed})", _PASSAGE)
        held = self.collections()
        return {
            row["passage"]: StoredPassage(folder=held[row["collection"]].folder, **row)
            for row in found
            if row["collection"] in held
        }

    @contextmanager
    def writing(self) -> Iterator[LanceWriter]:
        """As `IndexStore`. On object storage a lease stands for the lock; that of a dead writer must run out first."""
        if self._lease is None:
            with one_writer(Path(self._uri), self._wait), self._writer(lambda: None) as writer:
                yield writer
        else:
            with leased(self._lease, self.name, self._wait) as refuse_if_lost, self._writer(refuse_if_lost) as writer:
                yield writer

    def rows(self, table: Any, where: str, columns: list[str]) -> list[dict[str, Any]]:
        """These columns of the rows of a table that meet a condition."""
        with self.reached():
            found: list[dict[str, Any]] = _bounded(table.search(), where).select(columns).to_arrow().to_pylist()
            return found

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Errors of LanceDB become UnavailableError."""
        if os.getpid() != self._process:
            raise UnavailableError(f"{self.name}: LanceDB does not survive a fork; open the index in this process")
        with _reached(self.name):
            yield

    def close(self) -> None:
        """As `IndexStore`. LanceDB closes its files itself."""

    @contextmanager
    def _writer(self, refuse_if_lost: Any) -> Iterator[LanceWriter]:
        writer = LanceWriter(self, refuse_if_lost)
        try:
            yield writer
        finally:
            writer.flush()
        writer.tidy()


def _bounded(asked: Any, where: str) -> Any:
    return asked.where(where) if where else asked


def _table(database: Any, name: str, schema: pa.Schema, *rows: dict[str, Any]) -> Any:
    """Open a table, or make it."""
    if name not in database.list_tables().tables:
        try:
            return database.create_table(name, pa.Table.from_pylist(list(rows), schema))
        except ValueError:
            # Another process just did.
            pass
    return database.open_table(name)


def _index(table: Any) -> None:
    """Make the indexes that a table lacks."""
    words = FTS(
        base_tokenizer="whitespace",
        max_token_length=None,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
    )
    held = {column for index in table.list_indices() for column in index.columns}
    for column in {*_WORDS, "passage", "file"} - held:
        table.create_index(column, config=words if column in _WORDS else BTree())


def _is_folder(uri: str) -> bool:
    return "://" not in uri


def _name(uri: str) -> str:
    return f"lancedb://{uri}" if _is_folder(uri) else f"lancedb+{uri}"


@contextmanager
def _reached(name: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:
        # Its messages may hold the whole chain of causes.
        raise UnavailableError(f"{name}: {' '.join(str(error).split())[:_LONGEST] or repr(error)}") from error
