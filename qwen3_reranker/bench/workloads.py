"""Sentences of real text -> queries and documents of given lengths."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.records import QueryPrefix
from qwen3_reranker.reranker import Reranker

#: For each name its queries, documents a query, and mean tokens of a document.
SIZES = {
    "short": (1, 32, 40),
    "medium": (1, 32, 144),
    "long": (1, 32, 512),
    "queries": (8, 16, 144),
    "titles": (1, 200, 12),
    "request": (1, 20, 150),
    "pair": (1, 1, 8000),
}
#: All but `pair`, which takes long.
DEFAULT = ("short", "medium", "long", "queries", "titles", "request")

_SPREAD = 0.45  # of the logarithm of a document's length
# Where sentences part, in scripts without spaces as well.
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


@dataclass(frozen=True, slots=True)
class BenchWorkload:
    """Pairs of a query and a document. `tokens` counts the rows of all pairs as they run, template included.

    mean_document_tokens: what is kept of a document; cut_documents: those of which not all fits a row.
    """

    name: str
    queries: int
    pairs: tuple[tuple[str, str], ...]
    mean_document_tokens: float
    tokens: int
    cut_documents: int = 0


def build(
    name: str, reranker: Reranker, queries: Sequence[str], texts: Iterable[str], scale: float = 1.0
) -> BenchWorkload:
    """The workload of that name, by this reranker's tokenizer; equal calls give equal workloads.

    queries: as many as the workload has, at least. texts: what documents are made of, sentence by sentence.
    scale: below 1, that share of the documents (of the one document's tokens), for a rehearsal.
    Raises InputError for an unknown name, too few queries, or a `pair` longer than the reranker's max_length.
    """
    if name not in SIZES:
        raise unknown("workload", name, SIZES)
    num_queries, count, mean = SIZES[name]
    if count == 1:
        mean = max(3, round(mean * scale))
    count = max(1, round(count * scale))
    if len(queries) < num_queries:
        raise InputError(f"the workload {name!r} asks {num_queries} queries, got {len(queries)}")
    writer = _Writer(name, reranker, texts)
    pairs = tuple((query, text) for query in queries[:num_queries] for text in writer.documents(count, mean))
    rows = reranker.rows([query for query, _ in pairs], [text for _, text in pairs])
    tokens, limit = sum(len(row.ids) for row in rows), reranker.tokens.max_length
    if name == "pair" and tokens >= limit:
        raise InputError(f"the workload 'pair' takes {mean:,} tokens and a query, but rows hold {limit:,}")
    kept = float(np.mean([row.receipt.kept_tokens for row in rows]))
    return BenchWorkload(name, num_queries, pairs, kept, tokens, sum(row.receipt.truncated for row in rows))


class _Writer:
    """Documents of whole sentences, the last one cut. No two begin alike until every sentence has begun one."""

    def __init__(self, name: str, reranker: Reranker, texts: Iterable[str]) -> None:
        self._tokens = reranker.tokens
        self._random = random.Random(name)
        self._lengths = np.random.default_rng(list(name.encode()))
        pieces = (" ".join(piece.split()) for text in texts for piece in _ENDS.split(text))
        sentences = list(dict.fromkeys(piece for piece in pieces if piece))
        if not sentences:
            raise InputError("there are no texts to make documents of")
        self._sentences = dict(zip(sentences, self.count(sentences), strict=True))
        self._first: list[str] = []
        self._rest: list[str] = []

    def documents(self, count: int, mean: int) -> list[str]:
        """Texts of log-normal length in tokens; their lengths are scaled to the mean."""
        if count == 1:
            return [self._text(mean)]
        lengths = self._lengths.lognormal(0, _SPREAD, count)
        return [self._text(max(3, round(length))) for length in lengths * mean / lengths.mean()]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        rows = self._tokens.encode([QueryPrefix("", "", "")] * len(texts), texts)
        return [row.receipt.document_tokens for row in rows]

    def _text(self, length: int) -> str:
        self._first = self._first or self._shuffled()
        parts = [self._first.pop()]
        left = length - self._sentences[parts[0]]
        while left > 0:
            self._rest = self._rest or self._shuffled()
            parts.append(self._rest.pop())
            left -= self._sentences[parts[-1]]
        whole = " ".join(parts)
        # Only the last sentence is cut, where the text has as many tokens as it should.
        certain = len(whole) - len(parts[-1]) + 1
        cut = bisect_left(range(len(whole)), length, certain, key=lambda end: self.count([whole[:end]])[0])
        return whole[:cut].rstrip()

    def _shuffled(self) -> list[str]:
        return self._random.sample(list(self._sentences), len(self._sentences))
