"""Parts -> their scores, one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterator

from qwen3_reranker.jobs.pairs import Pair
from qwen3_reranker.jobs.part_scores import PartScores, score_texts
from qwen3_reranker.overlap import made_ahead
from qwen3_reranker.reranker import Reranker

NumberedPart = tuple[int, list[Pair]]


def scored_here(
    parts: Iterator[NumberedPart], reranker: Reranker, instruction: str | None
) -> Iterator[tuple[NumberedPart, PartScores]]:
    """Each part with its scores, in order. The next part is read meanwhile."""
    for number, pairs in made_ahead(parts):
        queries, documents = [pair.query for pair in pairs], [pair.document for pair in pairs]
        yield (number, pairs), score_texts(reranker, queries, documents, instruction)
