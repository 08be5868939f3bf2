"""Judged groups -> nDCG@10, reciprocal rank and pairs in order; ties count against the model.

Shapes: D documents of one query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUT = 10
_DRAWS = 2000
_SAME_ORDER, _SAME_BCE = 1e-9, 1e-4


@dataclass(frozen=True, slots=True)
class Quality:
    """How well documents are told apart (bce) and ordered (the rest).

    per_query: nDCG@10 of each query that has both kinds of document.
    """

    bce: float
    ndcg: float
    reciprocal_rank: float
    pairs: float
    per_query: tuple[float, ...]

    def beats(self, other: Quality) -> bool:
        """Whether nDCG@10 is higher or, where it is the same, probabilities are truer."""
        if abs(self.ndcg - other.ndcg) > _SAME_ORDER:
            return self.ndcg > other.ndcg
        return self.bce < other.bce - _SAME_BCE

    def to_json(self) -> dict[str, float]:
        """The means by name."""
        return {"bce": self.bce, "ndcg@10": self.ndcg, "mrr@10": self.reciprocal_rank, "pairs": self.pairs}


def quality(losses: Sequence[float], judged: Sequence[tuple[NDArray[np.float32], Sequence[float]]]) -> Quality:
    """The measures of (logits_D, labels_D) of each query; labels are 1 or 0."""
    # A query with one kind of document is in every order alike, and says nothing.
    told = [(logits_D, np.array(labels_D)) for logits_D, labels_D in judged if 0 < sum(labels_D) < len(labels_D)]
    orders = [labels_D[_order(logits_D, labels_D)] for logits_D, labels_D in told]
    gains = [_ndcg(order_D) for order_D in orders]
    ranks = [int(np.argmax(order_D)) + 1 for order_D in orders]
    pairs = [float(np.mean(logits_D[labels_D == 1][:, None] > logits_D[labels_D == 0])) for logits_D, labels_D in told]
    return Quality(
        _mean(losses),
        _mean(gains),
        _mean([1 / rank if rank <= CUT else 0.0 for rank in ranks]),
        _mean(pairs),
        tuple(gains),
    )


def gain_interval(before: Quality, after: Quality, seed: int = 0) -> tuple[float, float, float]:
    """The mean gain in nDCG@10 with its 95 % interval, from a paired bootstrap over queries."""
    gained_Q = np.array(after.per_query) - np.array(before.per_query)
    drawn = np.random.default_rng(seed).integers(len(gained_Q), size=(_DRAWS, len(gained_Q)))
    low, high = np.percentile(gained_Q[drawn].mean(axis=1), (2.5, 97.5))
    return float(gained_Q.mean()), float(low), float(high)


def _order(logits_D: NDArray[np.float32], labels_D: NDArray[np.float64]) -> NDArray[np.intp]:
    # Negatives first among equals: a model that gives all documents one score has found nothing.
    return np.lexsort((labels_D, -logits_D))


def _ndcg(order_D: NDArray[np.float64]) -> float:
    """nDCG@10 with binary gains (Jarvelin and Kekalainen 2002)."""
    discount_D = 1.0 / np.log2(np.arange(2, 2 + len(order_D)))
    best_D = np.sort(order_D)[::-1]
    return float((order_D * discount_D)[:CUT].sum() / (best_D * discount_D)[:CUT].sum())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def shown(measures: Mapping[str, float]) -> str:
    """The measures on one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in measures.items())
