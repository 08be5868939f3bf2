"""Scored groups -> nDCG@10, reciprocal rank and share of ordered pairs. Ties count against the model.

Shapes: D documents of one query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.evaluate import Measure
from qwen3_reranker.evaluate.measures import ranked_arrays
from qwen3_reranker.evaluate.significance import mean_interval

_NDCG, _RECIPROCAL_RANK = Measure("nDCG", 10), Measure("RR", 10)
_SAME_ORDER, _SAME_BCE = 1e-9, 1e-4


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over held-out queries.

    bce: of all documents. ndcg, reciprocal_rank: at 10. pairs: share of (positive, negative) pairs in the right order.
    per_query: nDCG@10 of each query with both kinds of document.
    """

    bce: float
    ndcg: float
    reciprocal_rank: float
    pairs: float
    per_query: tuple[float, ...]

    def beats(self, other: Quality) -> bool:
        """Whether nDCG@10 is higher, or bce lower at the same nDCG@10."""
        if abs(self.ndcg - other.ndcg) > _SAME_ORDER:
            return self.ndcg > other.ndcg
        return self.bce < other.bce - _SAME_BCE

    def to_json(self) -> dict[str, float]:
        """The means by name."""
        return {"bce": self.bce, "ndcg@10": self.ndcg, "mrr@10": self.reciprocal_rank, "pairs": self.pairs}


def quality(losses: Sequence[float], scored: Sequence[tuple[NDArray[np.float32], Sequence[float]]]) -> Quality:
    """The measures of each query's (logits_D, labels_D); labels are 1 or 0."""
    # For a query with one kind of document every order is the same, so it is left out.
    mixed = [(logits_D, np.array(labels_D)) for logits_D, labels_D in scored if 0 < sum(labels_D) < len(labels_D)]
    orders = [ranked_arrays(labels_D, logits_D) for logits_D, labels_D in mixed]
    # Ties count as negatives first: a model that gives all documents one score has found nothing.
    gains, ranks = ([measure.range(order)[0] for order in orders] for measure in (_NDCG, _RECIPROCAL_RANK))
    pairs = [float(np.mean(logits_D[labels_D == 1][:, None] > logits_D[labels_D == 0])) for logits_D, labels_D in mixed]
    return Quality(_mean(losses), _mean(gains), _mean(ranks), _mean(pairs), tuple(gains))


def gain_interval(before: Quality, after: Quality, seed: int = 0) -> tuple[float, float, float]:
    """The mean gain in nDCG@10 with its 95 % interval, by a paired bootstrap."""
    gained_Q = np.array(after.per_query) - np.array(before.per_query)
    return (float(gained_Q.mean()), *mean_interval([gained_Q], [1.0], seed=seed))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def as_line(measures: Mapping[str, float]) -> str:
    """The measures as one line of text."""
    return "  ".join(f"{name} {value:.4f}" for name, value in measures.items())
