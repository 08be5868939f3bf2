"""LanceWriter: files into a LanceStore, some thousand passages a commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qwen3_reranker.search.index_store import PassageText, StoredCollection, Written
from qwen3_reranker.search.lance_rows import IS_FIRST, SCHEMA, STAMP, FileRows, number_of, quoted
from qwen3_reranker.search.prepared_file import PreparedFile

if TYPE_CHECKING:
    from qwen3_reranker.search.lance_store import LanceStore

_log = logging.getLogger(__name__)
# The columns that change when a file's time alone does.
_TOUCHED = ("passage", "date", *STAMP)
# A commit takes some 20 ms on a disk and leaves a file that every search opens.
_ROWS_AT_ONCE, _SECONDS_AT_ONCE = 4000, 10.0
# Rows that are not in the index yet, and small files, are searched one by one: so many are soon searched.
_MOST_UNINDEXED, _MOST_SMALL_FILES = 2000, 40
_MOST_VERSIONS = 100
# Readers look at the newest version at each search, and end within this time.
_KEPT = timedelta(hours=1)


class LanceWriter:
    """Holds files back until there are enough for a commit. refuse_if_lost: raises once another writer may write."""

    vectors_at_once = 512

    def __init__(self, store: LanceStore, refuse_if_lost: Callable[[], None]) -> None:
        self._store = store
        self._table = store.passage_rows
        self._refuse_if_lost = refuse_if_lost
        self._rows_of = FileRows()
        self._digests: dict[str, dict[str, bytes]] = {}
        # By the number of their file: rows to write, files that the table holds another state of, and what a new time
        # changes in rows: stamps, and dates that filters compare.
        self._waiting: dict[int, list[dict[str, Any]]] = {}
        self._replaced: set[int] = set()
        self._touched: dict[int, list[dict[str, Any]]] = {}
        self._num_rows = 0
        self._flushed = time.monotonic()

    def put_collection(self, name: str, held: StoredCollection, updated: float | None = None) -> None:
        """As `StoreWriter`."""
        if updated is None:
            before = self._store.rows(self._store.collection_rows, f"name = {quoted(name)}", ["updated"])
            updated = before[0]["updated"] if before else 0.0
        row = {"name": name, "folder": held.folder, "glob": held.glob, "updated": updated}
        self.flush()
        table = self._store.collection_rows
        made = pa.Table.from_pylist([row], table.schema)
        merge = table.merge_insert("name").when_matched_update_all().when_not_matched_insert_all()
        self._commit(lambda: merge.execute(made))

    def remove_collection(self, name: str) -> None:
        """As `StoreWriter`."""
        self._commit(lambda: self._store.collection_rows.delete(f"name = {quoted(name)}"))

    def put(self, collection: str, file: PreparedFile) -> Written:
        """As `StoreWriter`."""
        known = self._known(collection)
        before, number = known.get(file.path), number_of(collection, file.path)
        if before == file.sha256:
            rows = self._rows_of.of(collection, file)
            self._touched[number] = [{name: row.get(name) for name in _TOUCHED} for row in rows]
            self._num_rows += len(rows)
            written = Written.UNCHANGED
        else:
            self._touched.pop(number, None)
            if before is not None and number not in self._waiting:
                self._replaced.add(number)
            self._num_rows -= len(self._waiting.get(number, ()))
            self._waiting[number] = self._rows_of.of(collection, file)
            self._num_rows += len(self._waiting[number])
            known[file.path] = file.sha256
            written = Written.ADDED if before is None else Written.CHANGED
        is_late = time.monotonic() > self._flushed + _SECONDS_AT_ONCE
        if is_late or self._num_rows >= _ROWS_AT_ONCE:
            self.flush()
        return written

    def remove(self, collection: str, paths: Sequence[str]) -> None:
        """As `StoreWriter`."""
        self.flush()
        known = self._known(collection)
        for first in range(0, len(paths), _ROWS_AT_ONCE):
            some = paths[first : first + _ROWS_AT_ONCE]
            listed = ", ".join(str(number_of(collection, path)) for path in some)
            self._commit(partial(self._table.delete, f"file IN ({listed})"))
            for path in some:
                known.pop(path, None)

    def without_vectors(self, count: int) -> list[PassageText]:
        """As `StoreWriter`."""
        self.flush()
        with self._store.reached():
            where = "text IS NOT NULL" + (" AND vector IS NULL" if "vector" in self._table.schema.names else "")
            asked = self._table.search().where(where).select(list(PassageText._fields)).limit(count)
            return [PassageText(**row) for row in asked.to_arrow().to_pylist()]

    def put_vectors(self, passages: Sequence[int], vectors_ND: NDArray[np.float32]) -> None:
        """As `StoreWriter`. Vectors are kept in 16 bits."""
        kind = pa.list_(pa.float16(), vectors_ND.shape[1])
        with self._store.reached():
            if "vector" not in self._table.schema.names:
                self._commit(lambda: self._table.add_columns(pa.field("vector", kind)))
        numbers = pa.array(vectors_ND.astype(np.float16).ravel())
        vectors = pa.FixedSizeListArray.from_arrays(numbers, vectors_ND.shape[1])
        self._update(pa.table({"passage": pa.array(passages), "vector": vectors}))

    def flush(self) -> None:
        """Commit what was held back. New rows have no vectors yet, which LanceDB calls bad ones."""
        if self._waiting:
            rows = [row for some in self._waiting.values() for row in some]
            made = pa.Table.from_pylist(rows, self._table.schema)
            if self._replaced:
                listed = ", ".join(map(str, self._replaced))
                merge = self._table.merge_insert("passage").when_matched_update_all().when_not_matched_insert_all()
                merge = merge.when_not_matched_by_source_delete(f"file IN ({listed})")
                self._commit(partial(merge.execute, made, on_bad_vectors="null"))
            else:
                self._commit(partial(self._table.add, made, on_bad_vectors="null"))
        if self._touched:
            rows = [row for some in self._touched.values() for row in some]
            self._update(pa.Table.from_pylist(rows, pa.schema([SCHEMA.field(name) for name in _TOUCHED])))
        self._waiting.clear()
        self._replaced.clear()
        self._touched.clear()
        self._num_rows, self._flushed = 0, time.monotonic()

    def tidy(self) -> None:
        """Index new rows, join small files and drop old versions, if many. What fails is done by a later update."""
        try:
            unindexed = self._table.index_stats("body_idx").num_unindexed_rows
            small_files = self._table.stats()["fragment_stats"]["num_small_fragments"]
            if unindexed > _MOST_UNINDEXED or small_files > _MOST_SMALL_FILES:
                self._table.optimize(cleanup_older_than=_KEPT)
            for table in self._store.small_tables:
                if len(table.list_versions()) > _MOST_VERSIONS:
                    table.optimize(cleanup_older_than=_KEPT)
        except (RuntimeError, OSError, ValueError) as error:
            _log.warning("%s: searches become slower until new passages can be indexed: %s", self._store.name, error)

    def _update(self, columns: pa.Table) -> None:
        self._commit(lambda: self._table.merge_insert("passage").when_matched_update_all().execute(columns))

    def _commit(self, commit: Callable[[], object]) -> None:
        self._refuse_if_lost()
        with self._store.reached():
            commit()

    def _known(self, collection: str) -> dict[str, bytes]:
        """The SHA-256 of the files of a collection."""
        if collection not in self._digests:
            where = f"collection = {quoted(collection)} AND {IS_FIRST}"
            found = self._store.rows(self._table, where, ["path", "sha256"])
            self._digests[collection] = {row["path"]: row["sha256"] for row in found}
        return self._digests[collection]
