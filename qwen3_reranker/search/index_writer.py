"""Writer: files and records into an index."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen3_reranker.documents.folder import SkippedFiles, paths_below
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.search.index_store import IndexStore, StoredCollection, StoreWriter, Written
from qwen3_reranker.search.prepared_file import PreparedFile, prepared_file, prepared_record, stamp_of

#: Called with the files that are done and all that change.
OnFile = Callable[[int, int], None]


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

    wanted: paths that the index lacks, or has in an earlier state. gone: those of files that are no longer there.
    is_complete: whether there was time to look at all files.
    """

    wanted: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    is_complete: bool = True
    skipped: SkippedFiles = field(default_factory=SkippedFiles)


def differences(store: IndexStore, collection: str, held: StoredCollection, ends: float = math.inf) -> Differences:
    """Compare a collection of files with its folder, by sizes and times, until `ends` (time.monotonic()).

    Raises InputError if the folder is gone.
    """
    assert held.folder is not None
    if not os.path.isdir(held.folder):
        raise InputError(f"{held.folder}: this folder is gone; remove its collection if that is meant")
    known = store.stamps(collection)
    found = Differences()
    for path in paths_below(held.folder, held.glob, found.skipped):
        if time.monotonic() > ends:
            found.is_complete = False
            return found
        try:
            stamp = stamp_of(os.stat(os.path.join(held.folder, path)), path)
        except OSError:
            continue
        if known.pop(path, None) == stamp:
            found.unchanged += 1
        else:
            found.wanted.append(path)
    found.gone = list(known)
    return found


class Writer:
    """Writes to one store."""

    def __init__(self, store: IndexStore, writer: StoreWriter, passage_tokens: int, extractor: TextExtractor) -> None:
        self._store = store
        self._writer = writer
        self._passage_tokens = passage_tokens
        self._extractor = extractor

    def collection(self, name: str, folder: str | None, glob: str | None = None) -> None:
        """Make a collection if it is not there. Raises InputError if it is of another folder."""
        found = self._store.collections().get(name)
        if found is not None and found.folder != folder:
            held = "records" if found.folder is None else found.folder
            raise InputError(f"the collection {name!r} holds {held}; choose another name")
        if found is None or glob is not None:
            self._writer.put_collection(name, StoredCollection(folder, glob))

    def update(self, collection: str, changes: Changes, on_file: OnFile | None = None) -> None:
        """Bring a collection of files to the state of its folder."""
        held = self._store.collections()[collection]
        found = differences(self._store, collection, held)
        changes.unchanged += found.unchanged
        changes.skipped = found.skipped
        total = len(found.wanted) + len(found.gone)
        self.remove(collection, found.gone, changes)
        if on_file and found.gone:
            on_file(len(found.gone), total)
        assert held.folder is not None
        for done, path in enumerate(found.wanted, start=len(found.gone) + 1):
            file = prepared_file(held.folder, path, self._passage_tokens, self._extractor)
            self._put(collection, file, changes)
            if on_file:
                on_file(done, total)
        self._writer.put_collection(collection, held, time.time())

    def put_records(self, collection: str, records: Iterable[Mapping[str, Any]], changes: Changes) -> None:
        """Write records in place of those with the same id. Raises InputError for one without an id or a text."""
        for place, record in enumerate(records):
            self._put(collection, prepared_record(record, place, self._passage_tokens), changes)
        self._writer.put_collection(collection, self._store.collections()[collection], time.time())

    def embed_passages(self, embedder: Embedder) -> None:
        """Give each passage without a vector one, some at a time, so that what is done stays done."""
        while waiting := self._writer.without_vectors(self._writer.vectors_at_once):
            texts = [f"{each.headings}\n{each.text}" if each.headings else each.text for each in waiting]
            self._writer.put_vectors([each.passage for each in waiting], embedder.documents(texts))

    def remove(self, collection: str, paths: Sequence[str], changes: Changes) -> None:
        """Remove files by their paths."""
        self._writer.remove(collection, paths)
        changes.removed += len(paths)

    def remove_collection(self, collection: str, changes: Changes) -> None:
        """Remove all files of a collection, and the collection."""
        self.remove(collection, list(self._store.stamps(collection)), changes)
        self._writer.remove_collection(collection)

    def _put(self, collection: str, file: PreparedFile, changes: Changes) -> None:
        if file.skipped:
            changes.skipped.add(file.skipped, file.path)
        written = self._writer.put(collection, file)
        if written is Written.UNCHANGED:
            changes.unchanged += 1
            return
        changes.passages += sum(len(document.passages) for document in file.documents)
        if written is Written.ADDED:
            changes.added += not file.skipped
        else:
            changes.changed += 1
