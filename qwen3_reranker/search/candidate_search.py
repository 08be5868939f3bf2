"""CandidateSearch: a query -> candidates, by words and by vectors; a search that does not end in time is left out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.index_store import IndexStore, Scored, StoredPassage
from qwen3_reranker.search.opened_models import OpenedModels
from qwen3_reranker.search.retrieval import FoundPassage, fused_candidates
from qwen3_reranker.uninterrupted import start_uninterrupted

#: The searches of the first stage: by BM25 and by vectors.
WORDS, VECTORS = "words", "vectors"
# Of the time, vectors may take this share; words are given up after so many seconds at the earliest.
_VECTORS_SHARE, _LEAST_SECONDS = 0.6, 0.1
# Passages that each of them gives.
_DEPTH = 200
# Vectors of queries that came too late are kept for the same query, so many of them.
_MOST_LATE = 64


@dataclass(frozen=True, slots=True)
class Candidates:
    """Passages to judge, best first, with all about them by number; left_out: the searches that had no time."""

    chosen: list[FoundPassage]
    rows: Mapping[int, StoredPassage]
    left_out: tuple[str, ...]


class CandidateSearch:
    """The first stage of one index. A search that was left out ends in the background; the next one of its kind waits
    for it, within its own time."""

    def __init__(self, store: IndexStore, models: OpenedModels) -> None:
        self._store = store
        self._models = models
        self._locks = {WORDS: threading.Lock(), VECTORS: threading.Lock()}
        self._late: dict[tuple[str, str | None], NDArray[np.float32]] = {}

    def find(
        self,
        query: str,
        count: int,
        *,
        instruction: str | None = None,
        filters: Filters | None = None,
        by: Collection[str] = (WORDS, VECTORS),
        deadline: float = math.inf,
    ) -> Candidates:
        """At most `count` candidates, of the searches in `by` that end by the deadline (time.monotonic).

        Vectors have a share of the time, so that some is left to judge. Words have a least time, as nothing would be
        found without them.
        """
        filters, now = filters or Filters(), time.monotonic()
        ends = {WORDS: max(deadline, now + _LEAST_SECONDS), VECTORS: now + _VECTORS_SHARE * (deadline - now)}
        searches: dict[str, Callable[[], list[Scored]]] = {
            WORDS: lambda: self._by_words(query, filters, ends[WORDS]),
            VECTORS: lambda: self._by_vectors(query, instruction, filters, ends[VECTORS]),
        }
        waiting = {kind: _started(searches[kind], deadline) for kind in by}
        found: dict[str, list[Scored]] = {}
        left_out = []
        for kind, future in waiting.items():
            try:
                found[kind] = future.result(_seconds_until(ends[kind]))
            except TimeoutError:
                left_out.append(kind)
        rows = self._store.passages({passage for some in found.values() for passage, _ in some})
        # A writer may have removed some of them since.
        by_words, by_vectors = ([each for each in found.get(kind, []) if each[0] in rows] for kind in (WORDS, VECTORS))
        documents = {passage: row.document for passage, row in rows.items()}
        return Candidates(fused_candidates(by_words, by_vectors, documents, count), rows, tuple(left_out))

    def refuse_other_vectors(self, embedder: Embedder) -> None:
        """Raise InputError for another embedder than the one that the index holds vectors of."""
        wanted = f"{embedder.checkpoint.name}, {embedder.dim} numbers"
        if (held := self._store.setting("vectors", wanted)) != wanted:
            raise InputError(f"{self._store.name}: this index has vectors of {held}, not of {wanted}; make another one")

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Wait for what still runs, and let nothing begin."""
        with self._locks[WORDS], self._locks[VECTORS]:
            yield

    def _by_words(self, query: str, filters: Filters, deadline: float) -> list[Scored]:
        with _held(self._locks[WORDS], deadline):
            return self._store.by_words(query, _DEPTH, filters, deadline)

    def _by_vectors(self, query: str, instruction: str | None, filters: Filters, deadline: float) -> list[Scored]:
        with _held(self._locks[VECTORS], deadline):
            if (embedder := self._models.embedder()) is None:
                return []
            self.refuse_other_vectors(embedder)
            query_D = self._late.pop((query, instruction), None)
            if query_D is None:
                [query_D] = embedder.queries([query], instruction)
            if time.monotonic() > deadline:
                self._late[query, instruction] = query_D
                for oldest in list(self._late)[:-_MOST_LATE]:
                    del self._late[oldest]
                raise TimeoutError
            return self._store.by_vector(query_D, _DEPTH, filters)


def _started(search: Callable[[], list[Scored]], deadline: float) -> Future[list[Scored]]:
    """The search in a thread, which goes on where nobody waits for it any more; here if there is time for all of it."""
    future: Future[list[Scored]] = Future()

    def run() -> None:
        try:
            future.set_result(search())
        except BaseException as error:
            future.set_exception(error)

    if math.isinf(deadline):
        run()
    else:
        start_uninterrupted(threading.Thread(target=run, name="searching", daemon=True))
    return future


@contextmanager
def _held(lock: threading.Lock, deadline: float) -> Iterator[None]:
    """Hold a lock. Raises TimeoutError if it is not free by the deadline."""
    seconds = _seconds_until(deadline)
    if not lock.acquire(timeout=-1 if seconds is None else seconds):
        raise TimeoutError
    try:
        yield
    finally:
        lock.release()


def _seconds_until(deadline: float) -> float | None:
    """None for no deadline."""
    return None if math.isinf(deadline) else max(0.0, deadline - time.monotonic())
