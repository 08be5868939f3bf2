"""Pairs, as rows or as the texts of a part -> their logits, and what they took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import run_all
from qwen3_reranker.overlap import made_ahead
from qwen3_reranker.records import Row
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.text_reranker import TextReranker

# Pairs and characters of a plan: its tokens and final states are in memory at once.
_PLAN_PAIRS, _PLAN_CHARACTERS = 1024, 4_000_000


@dataclass(frozen=True, slots=True)
class PartScores:
    """What a part gave and took.

    logits_N: float32, in the order of the pairs. tokens: of separate rows; computed: those of them that were computed.
    cut: pairs whose document or query was cut to fit.
    """

    logits_N: NDArray[np.float32]
    tokens: int
    computed: int
    cut: int


def score_rows(reranker: Reranker, rows: Sequence[Row]) -> PartScores:
    """The scores of rows from `Reranker.rows`, from one plan. Raises what `Reranker.judge` raises."""
    scores = run_all(reranker.engine.steps(rows))
    return PartScores(
        scores.logits_N,
        tokens=sum(len(row.ids) for row in rows),
        computed=scores.computed_tokens,
        cut=sum(row.receipt.truncated or row.receipt.query_truncated for row in rows),
    )


def score_texts(
    reranker: TextReranker, queries: Sequence[str], documents: Sequence[str], instruction: str | None
) -> PartScores:
    """The scores of pairs. Those of a query are computed together, wherever they stand.

    What a server counts and cuts is not known by pair, and is 0. Raises what `logits` of the reranker raises.
    """
    if not isinstance(reranker, Reranker):
        logits_N = reranker.logits(list(zip(queries, documents, strict=True)), instruction)
        return PartScores(logits_N, tokens=0, computed=0, cut=0)
    logits_N = np.zeros(len(queries), np.float32)
    tokens = computed = cut = 0
    made = (
        (chosen, reranker.rows([queries[each] for each in chosen], [documents[each] for each in chosen], instruction))
        for chosen in _plans(queries, documents)
    )
    for chosen, rows in made_ahead(made):
        scores = score_rows(reranker, rows)
        logits_N[chosen] = scores.logits_N
        tokens += scores.tokens
        computed += scores.computed
        cut += scores.cut
    return PartScores(logits_N, tokens, computed, cut)


def _plans(queries: Sequence[str], documents: Sequence[str]) -> Iterator[list[int]]:
    """The places of the pairs of each plan, by the first place of their query."""
    first = {query: place for place, query in reversed(list(enumerate(queries)))}
    chosen: list[int] = []
    characters = 0
    for place in sorted(range(len(queries)), key=lambda place: first[queries[place]]):
        chosen.append(place)
        characters += len(queries[place]) + len(documents[place])
        if len(chosen) == _PLAN_PAIRS or characters >= _PLAN_CHARACTERS:
            yield chosen
            chosen, characters = [], 0
    if chosen:
        yield chosen
