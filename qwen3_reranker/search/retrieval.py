"""The first stage: a query -> candidates, by BM25 over words and by vectors, joined by reciprocal ranks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from qwen3_reranker.search.filters import Condition
from qwen3_reranker.search.index_tables import OF_PASSAGES
from qwen3_reranker.search.words import is_one_character, words_and_parts

#: The constant of reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
FUSION_CONSTANT = 60
# Words in more passages than this share say little, and take long to score; they are left out where rarer ones exist.
_COMMON_SHARE = 0.02
# Below so many passages every word is scored in no time.
_COMMON_LEAST = 1000
# Scoring takes some half a microsecond for each passage that holds a word.
_MOST_SCORED = 100_000
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
    """BM25 over the words of an index."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._version = (-1, -1)
        self._num_passages = 0
        self._counts: dict[str, int] = {}

    def top(self, query: str, count: int, condition: Condition) -> list[tuple[int, float]]:
        """Passages and scores, best first; none if no word of the query is there."""
        wanted = self._rare(dict.fromkeys(words_and_parts(query)))
        if not wanted:
            return []
        match = " OR ".join(f'"{word}"{"*" if is_one_character(word) else ""}' for word in wanted)
        joined = f"JOIN passages ON passages.id = words.rowid {OF_PASSAGES}" if condition.sql else ""
        rows = self._database.execute(
            f"SELECT words.rowid, bm25(words, 1.0, {CONTEXT_WEIGHT}) AS score FROM words {joined} "
            f"WHERE words MATCH ?{condition.sql} ORDER BY score, words.rowid LIMIT ?",
            (match, *condition.values, count),
        )
        return [(passage, -score) for passage, score in rows]

    def _rare(self, query: Iterable[str]) -> list[str]:
        """The rarest words of a query that are in the index, as many as can be scored soon; at least one."""
        [version] = self._database.execute("PRAGMA data_version").fetchone()
        # The first number changes with what other connections write, the second with our own.
        if (state := (version, self._database.total_changes)) != self._version:
            self._version = state
            self._counts.clear()
            [self._num_passages] = self._database.execute("SELECT count(*) FROM passages").fetchone()
        for word in query:
            if word not in self._counts:
                last = word + "\U0010ffff" if is_one_character(word) else word
                counted = "SELECT coalesce(sum(doc), 0) FROM word_counts WHERE term BETWEEN ? AND ?"
                [self._counts[word]] = self._database.execute(counted, (word, last)).fetchone()
        there = sorted((word for word in query if self._counts[word]), key=self._counts.__getitem__)
        limit = max(_COMMON_LEAST, _COMMON_SHARE * self._num_passages)
        rare = [word for word in there if self._counts[word] <= limit]
        scored = accumulate(self._counts[word] for word in rare)
        return [word for word, total in zip(rare, scored, strict=True) if total <= _MOST_SCORED] or there[:1]


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
