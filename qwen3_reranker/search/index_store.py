"""IndexStore: what an index needs of the place that keeps it. `LocalStore` is SQLite, `LanceStore` is LanceDB.

A file's passages are replaced whole or not at all. A writer that dies loses at most what it had not flushed; the next
update completes it. Readers see what is flushed, and never wait. D: numbers of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.prepared_file import FileStamp, PreparedFile

#: A passage's number and its score.
Scored = tuple[int, float]


class StoredPassage(NamedTuple):
    """A passage with all about it: passage and document are their numbers, fields is JSON, folder None for records."""

    passage: int
    document: int
    path: str
    folder: str | None
    collection: str
    name: str
    title: str
    headings: str
    first_line: int
    last_line: int
    part: str
    text: str
    fields: str


class PassageText(NamedTuple):
    """What a vector is computed from."""

    passage: int
    headings: str
    text: str


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """The folder of a collection, None for records, and the pattern of its files' names."""

    folder: str | None
    glob: str | None


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """A collection: its name, its folder (None for records), files, passages, and when it was updated, Unix seconds."""

    name: str
    folder: str | None
    files: int
    passages: int
    updated: float


class Written(Enum):
    """What `put` did: a file that was not there, one that was, or one whose content is as it was."""

    ADDED = 1
    CHANGED = 2
    UNCHANGED = 3


class IndexStore(Protocol):
    """One index. Threads search by words, search by vectors and read at the same time.

    All methods raise UnavailableError where the store cannot be read or written.
    """

    #: A folder or URL, as errors say it.
    name: str
    #: The SQLite file of scores that earlier searches computed.
    scores: Path

    def setting(self, name: str, default: str | int) -> str | int:
        """The value of a setting, which is the default from now on if it has none yet."""
        ...

    def collections(self) -> Mapping[str, StoredCollection]:
        """All collections by name, in its order."""
        ...

    def status(self) -> list[CollectionStatus]:
        """What the collections hold, in the order of their names. Files without passages are not counted."""
        ...

    def stamps(self, collection: str) -> dict[str, FileStamp]:
        """The stamps of a collection's files by path, those that were left out too."""
        ...

    def stamps_at(self, path: str, collection: str | None) -> dict[str, FileStamp]:
        """The stamps of the files with passages at a path, by collection: of one or of all."""
        ...

    def by_words(self, query: str, count: int, filters: Filters, deadline: float = math.inf) -> list[Scored]:
        """Passages with words of the query, by BM25, best first.

        Nobody waits for it beyond the deadline (time.monotonic). Raises TimeoutError where it gives up by itself.
        """
        ...

    def by_vector(self, query_D: NDArray[np.float32], count: int, filters: Filters) -> list[Scored]:
        """Passages by the cosine of their vectors, best first."""
        ...

    def passages(self, numbers: Collection[int]) -> dict[int, StoredPassage]:
        """Passages by their numbers; those that are gone are left out."""
        ...

    def writing(self) -> AbstractContextManager[StoreWriter]:
        """The only writer; what it wrote is flushed at the end, after an error too.

        Raises UnavailableError if another one does not end within the time to wait.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class StoreWriter(Protocol):
    """What changes a store."""

    #: Vectors that one `put_vectors` should bring.
    vectors_at_once: int

    def put_collection(self, name: str, held: StoredCollection, updated: float | None = None) -> None:
        """Make a collection or change it; `updated`: Unix seconds, None leaves them."""
        ...

    def remove_collection(self, name: str) -> None:
        """Remove a collection that holds no files."""
        ...

    def put(self, collection: str, file: PreparedFile) -> Written:
        """Write a file in place of what the store has of it; one with the same SHA-256 gets its stamp alone."""
        ...

    def remove(self, collection: str, paths: Sequence[str]) -> None:
        """Remove files by their paths."""
        ...

    def without_vectors(self, count: int) -> list[PassageText]:
        """Flush, and return some passages that have no vector yet; none if all have one."""
        ...

    def put_vectors(self, passages: Sequence[int], vectors_ND: NDArray[np.float32]) -> None:
        """Give passages their vectors, of length 1."""
        ...
