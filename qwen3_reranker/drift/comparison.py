"""Logits of the same documents in two precisions -> their distance and change of order.

Shapes: D documents of one query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.drift.advice import MEAN_LIMIT
from qwen3_reranker.errors import InputError

TOP = 10

Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one precision is from float32 on the same documents.

    mean_delta, max_delta: |logit - float32's logit| over all documents. kendall_tau: tau-b of the two orders of a
    query's documents, mean of the queries, 1 for the same order. top_overlap: share of a query's first 10 that are in
    both, mean of the queries. top1_changed: queries with another first document.
    """

    precision: str
    mean_delta: float
    max_delta: float
    kendall_tau: float
    top_overlap: float
    top1_changed: int

    @property
    def within_limit(self) -> bool:
        """Whether the mean move of a logit is at most MEAN_LIMIT."""
        return self.mean_delta <= MEAN_LIMIT


def compare(precision: str, expected: Sequence[Logits], logits: Sequence[Logits]) -> Drift:
    """The drift of `logits` from `expected`, each a non-empty array, (documents,), for each query.

    Raises InputError where the two do not have the same queries and documents, or have none.
    """
    shapes = [[each.shape for each in side] for side in (expected, logits)]
    if shapes[0] != shapes[1] or not shapes[0] or any(len(shape) != 1 or shape[0] == 0 for shape in shapes[0]):
        raise InputError(f"expected logits of the same documents, one or more a query, got {shapes[0]} and {shapes[1]}")
    pairs = [
        (before.astype(np.float64), after.astype(np.float64)) for before, after in zip(expected, logits, strict=True)
    ]
    deltas = np.concatenate([np.abs(after_D - before_D) for before_D, after_D in pairs])
    return Drift(
        precision=precision,
        mean_delta=float(deltas.mean()),
        max_delta=float(deltas.max()),
        kendall_tau=float(np.mean([kendall_tau(*pair) for pair in pairs])),
        top_overlap=float(np.mean([top_overlap(*pair) for pair in pairs])),
        top1_changed=sum(int(_order(before_D)[0] != _order(after_D)[0]) for before_D, after_D in pairs),
    )


def kendall_tau(first_D: Logits, second_D: Logits) -> float:
    """Kendall's tau-b of two judgements of the same documents, -1 to 1. A pair that ties is neither agreed on nor not.

    Where tau-b is 0 / 0: 1 if both tie all documents (there is one, say), 0 if only one of them does.
    """
    upper = np.triu_indices(len(first_D), k=1)
    first, second = (np.sign(each[:, None] - each[None, :])[upper] for each in (first_D, second_D))
    untied_first, untied_second = np.count_nonzero(first), np.count_nonzero(second)
    if not untied_first or not untied_second:
        return float(untied_first == untied_second)
    return float((first * second).sum() / np.sqrt(float(untied_first) * float(untied_second)))


def top_overlap(first_D: Logits, second_D: Logits, top: int = TOP) -> float:
    """The share of the first `top` documents that both judgements have there, 0 to 1."""
    kept = min(top, len(first_D))
    return len(set(_order(first_D)[:kept].tolist()) & set(_order(second_D)[:kept].tolist())) / kept


def _order(logits_D: Logits) -> NDArray[np.intp]:
    # As a Ranking has it: best first, equal logits in input order.
    return np.argsort(-logits_D, kind="stable")
