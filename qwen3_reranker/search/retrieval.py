"""The first stage: a query -> candidates, by BM25 over words and by vectors, joined by reciprocal ranks."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.search.filters import Condition, Filters
from qwen3_reranker.search.index_store import Scored
from qwen3_reranker.search.index_tables import OF_PASSAGES
from qwen3_reranker.search.vectors import Vectors
from qwen3_reranker.search.words import is_one_character, words_and_parts

#: The constant of reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
FUSION_CONSTANT = 60
# Words in more passages than this share say little, and take long to score; they are left out where rarer ones exist.
_COMMON_SHARE = 0.02
# Below so many passages every word is scored in no time.
_COMMON_LEAST = 1000
# Passages that hold one of the words that are scored; each takes some half a microsecond.
_MOST_SCORED = 100_000
# Passages scored in a second, before that was measured on so many.
_FIRST_RATE, _MEASURED = 1e6, 1000
# Of the time, counting words ends after the first share, and scoring should take the second one of what is left: its
# speed is an estimate, and passages are judged after it.
_COUNTING_SHARE, _SCORING_SHARE = 0.25, 0.25
# Steps of SQLite's machine between two looks at the clock: some hundred microseconds.
_STEPS = 1000
#: Words of path, title and headings count less than those of the text.
CONTEXT_WEIGHT = 0.5
# Passages of one document that come before the fourth of any other: a long document must not take all places.
_MAX_OF_A_DOCUMENT = 3


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that the first stage found. passage, document: their numbers. The scores are those of SearchHit."""

    passage: int
    document: int
    fused: float
    bm25: float | None
    cosine: float | None


class WordSearch:
    """BM25 over the words of an index, through a connection of its own: a search out of time is interrupted there."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._version = -1
        self._num_passages = 0
        self._counts: dict[str, int] = {}
        # Passages scored in a second, without and with a filter, as the last search did it.
        self._rates = {False: _FIRST_RATE, True: _FIRST_RATE}

    def top(self, query: str, count: int, condition: Condition, deadline: float = math.inf) -> list[Scored]:
        """Passages and scores, best first; none if no word of the query is there.

        The less time there is until the deadline (time.monotonic), the fewer words are scored, the rarest first. Raises
        TimeoutError where even that takes longer.
        """
        is_filtered, begun = bool(condition.sql), time.monotonic()
        wanted = self._rare(dict.fromkeys(words_and_parts(query)), begun + _COUNTING_SHARE * (deadline - begun))
        most = min(_SCORING_SHARE * (deadline - time.monotonic()) * self._rates[is_filtered], _MOST_SCORED)
        totals = accumulate(self._counts[word] for word in wanted)
        chosen = [word for word, total in zip(wanted, totals, strict=True) if total <= most] or wanted[:1]
        if not chosen:
            return []
        match = " OR ".join(f'"{word}"{"*" if is_one_character(word) else ""}' for word in chosen)
        joined = f"JOIN passages ON passages.id = words.rowid {OF_PASSAGES}" if is_filtered else ""
        # Of one word that is too common for the time, only so many passages.
        scored = -1 if math.isinf(deadline) else max(int(most), count)
        begun = time.monotonic()
        with _interrupted_after(self._database, deadline):
            rows = self._database.execute(
                "SELECT passage, score FROM ("
                f"SELECT words.rowid AS passage, bm25(words, 1.0, {CONTEXT_WEIGHT}) AS score FROM words {joined} "
                f"WHERE words MATCH ?{condition.sql} LIMIT ?) ORDER BY score, passage LIMIT ?",
                (match, *condition.values, scored, count),
            ).fetchall()
        total = sum(self._counts[word] for word in chosen)
        if total > _MEASURED:
            total = total if scored < 0 else min(total, scored)
            self._rates[is_filtered] = total / max(time.monotonic() - begun, 1e-6)
        return [(passage, -score) for passage, score in rows]

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _rare(self, query: Iterable[str], deadline: float) -> list[str]:
        """The words of a query that are in the index, the rarest first, without the common ones; at least one.

        Words that could not be counted by the deadline are left out; long words, which are often rare, are counted
        first.
        """
        if (version := _data_version(self._database)) != self._version:
            self._version = version
            self._counts.clear()
            [self._num_passages] = self._database.execute("SELECT count(*) FROM passages").fetchone()
        counted: list[str] = []
        for word in sorted(query, key=len, reverse=True):
            if word not in self._counts:
                if counted and time.monotonic() > deadline:
                    continue
                last = word + "\U0010ffff" if is_one_character(word) else word
                read = "SELECT coalesce(sum(doc), 0) FROM word_counts WHERE term BETWEEN ? AND ?"
                [self._counts[word]] = self._database.execute(read, (word, last)).fetchone()
            if self._counts[word]:
                counted.append(word)
        counted.sort(key=self._counts.__getitem__)
        limit = max(_COMMON_LEAST, _COMMON_SHARE * self._num_passages)
        return [word for word in counted if self._counts[word] <= limit] or counted[:1]


class VectorSearch:
    """Cosines with the vectors of an index, all of them, through a connection of its own."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._version = -1
        self._all: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def top(self, vectors: Vectors, query_D: NDArray[np.float32], count: int, condition: Condition) -> list[Scored]:
        """Passages and cosines, best first."""
        rows_R, passages_R = self._named(condition) if condition.sql else self._all_named()
        found_K, cosines_K = vectors.top(query_D, count, rows_R)
        passages_K = passages_R[np.searchsorted(rows_R, found_K)]
        return list(zip(passages_K.tolist(), cosines_K.tolist(), strict=True))

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _all_named(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # Reading them takes longer than the scan.
        if (version := _data_version(self._database)) != self._version or self._all is None:
            self._version, self._all = version, self._named(Filters().sql())
        return self._all

    def _named(self, condition: Condition) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows that passages name, in their order, and these passages."""
        joined = OF_PASSAGES if condition.sql else ""
        read = f"SELECT vector, passages.id FROM passages {joined} WHERE vector IS NOT NULL{condition.sql}"
        found = self._database.execute(read, condition.values).fetchall()
        named = np.array(found, np.int64).reshape(-1, 2)
        named = named[np.argsort(named[:, 0])]
        return np.ascontiguousarray(named[:, 0]), np.ascontiguousarray(named[:, 1])


def _data_version(database: sqlite3.Connection) -> int:
    """A number that changes with what other connections write."""
    [version] = database.execute("PRAGMA data_version").fetchone()
    return int(version)


@contextmanager
def _interrupted_after(database: sqlite3.Connection, deadline: float) -> Iterator[None]:
    """Raises TimeoutError for statements that run beyond the deadline."""
    if math.isinf(deadline):
        yield
        return
    database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if time.monotonic() > deadline:
            raise TimeoutError from error
        raise
    finally:
        database.set_progress_handler(None, 0)


def fused_candidates(
    by_words: Sequence[tuple[int, float]],
    by_vectors: Sequence[tuple[int, float]],
    documents: Mapping[int, int],
    count: int,
) -> list[FoundPassage]:
    """Passages of both searches by the sum of their reciprocal ranks, best first. documents: those of the passages.

    After three passages of a document its others wait until there are no more of other documents.
    """
    fused: dict[int, float] = {}
    for found in (by_words, by_vectors):
        for rank, (passage, _) in enumerate(found, start=1):
            fused[passage] = fused.get(passage, 0.0) + 1 / (FUSION_CONSTANT + rank)
    bm25, cosine = dict(by_words), dict(by_vectors)
    chosen: list[FoundPassage] = []
    waiting: list[FoundPassage] = []
    taken: dict[int, int] = {}
    for passage in sorted(fused, key=lambda each: (-fused[each], each)):
        document = documents[passage]
        taken[document] = taken.get(document, 0) + 1
        each = FoundPassage(passage, document, fused[passage], bm25.get(passage), cosine.get(passage))
        (chosen if taken[document] <= _MAX_OF_A_DOCUMENT else waiting).append(each)
    return (chosen + waiting)[:count]
