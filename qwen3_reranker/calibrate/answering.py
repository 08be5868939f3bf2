"""Best hits of queries -> how often an answer, or "none of these", is right above each probability.

Shapes: Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.calibrate.reliability import Figure, figure, share_of_sums
from qwen3_reranker.evaluate.significance import Values

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Of a normal distribution, the half width of the middle 95 %.
_WIDTH = 1.96


@dataclass(frozen=True, slots=True, eq=False)
class BestHits:
    """The best hit of each query. All (Q,) float64.

    probability_Q: that of the hit. right_Q: whether it is relevant, the share of those that tie. answerable_Q: whether
    the list holds a relevant document. other_Q: the probability of the best hit that is not relevant, which would be
    best if the list held no relevant document; 0 where there is none.
    """

    probability_Q: Values
    right_Q: Values
    answerable_Q: Values
    other_Q: Values


@dataclass(frozen=True, slots=True)
class Answering:
    """What `--min-probability` threshold gives: shares of queries.

    answered: those with a hit. precision: of those answered, the best hit is relevant. recall: of the queries whose
    list holds a relevant document, the best hit is shown and relevant. silence: of those not answered, the best hit
    would have been wrong. refusal: of all lists without their relevant documents, not answered.
    """

    threshold: float
    answered: Figure
    precision: Figure
    recall: Figure
    silence: Figure
    refusal: Figure


def best_hits(logits_N: Values, probabilities_N: Values, labels_N: Values, queries_N: NDArray[np.int64]) -> BestHits:
    """The best hit of each query by logit."""
    count = int(queries_N.max()) + 1
    highest_Q = np.full(count, -np.inf)
    np.maximum.at(highest_Q, queries_N, logits_N)
    is_best_N = logits_N == highest_Q[queries_N]
    probability_Q, other_Q = np.zeros(count), np.zeros(count)
    np.maximum.at(probability_Q, queries_N, np.where(is_best_N, probabilities_N, 0))
    np.maximum.at(other_Q, queries_N, np.where(labels_N > 0, 0, probabilities_N))
    relevant_Q = np.bincount(queries_N, is_best_N * labels_N, count)
    right_Q = relevant_Q / np.maximum(np.bincount(queries_N, is_best_N, count), 1)
    return BestHits(probability_Q, right_Q, (np.bincount(queries_N, labels_N, count) > 0).astype(np.float64), other_Q)


def answering(hits: BestHits, threshold: float, seed: int = 0) -> Answering:
    """What showing hits of at least this probability gives."""
    shown_Q = (hits.probability_Q >= threshold).astype(np.float64)
    return of_answers(hits, threshold, shown_Q, (hits.other_Q < threshold).astype(np.float64), seed)


def of_answers(hits: BestHits, threshold: float, shown_Q: Values, refused_Q: Values, seed: int = 0) -> Answering:
    """The same of queries that are answered, and of lists without relevant documents that are not."""

    def share(part_Q: Values, whole_Q: Values) -> Figure:
        return figure(np.stack([part_Q, whole_Q], axis=1), share_of_sums, seed)

    every_Q, silent_Q = np.ones_like(shown_Q), 1 - shown_Q
    return Answering(
        threshold,
        share(shown_Q, every_Q),
        share(shown_Q * hits.right_Q, shown_Q),
        share(shown_Q * hits.right_Q, hits.answerable_Q),
        share(silent_Q * (1 - hits.right_Q), silent_Q),
        share(refused_Q, every_Q),
    )


def risk_coverage(hits: BestHits) -> list[tuple[float, float]]:
    """(share of queries answered, share of wrong answers among them), from the surest query to all."""
    _, place_Q, counts = np.unique(-hits.probability_Q, return_inverse=True, return_counts=True)
    answered = np.cumsum(counts)
    wrong = np.cumsum(np.bincount(place_Q, 1 - hits.right_Q))
    return list(zip((answered / answered[-1]).tolist(), (wrong / answered).tolist(), strict=True))


def threshold_for(hits: BestHits, precision: float) -> float | None:
    """The lowest probability from which answers hold this precision: the low end of its 95 % interval (Wilson's).

    None where no threshold does.
    """
    order = np.argsort(-hits.probability_Q, kind="stable")
    probability_Q = hits.probability_Q[order]
    answered_Q = np.arange(1, len(order) + 1)
    share_Q = np.cumsum(hits.right_Q[order]) / answered_Q
    middle_Q = share_Q + _WIDTH**2 / (2 * answered_Q)
    spread_Q = _WIDTH * np.sqrt(share_Q * (1 - share_Q) / answered_Q + _WIDTH**2 / (4 * answered_Q**2))
    holds_Q = (middle_Q - spread_Q) / (1 + _WIDTH**2 / answered_Q) >= precision
    # Queries of one probability are answered together.
    is_last_Q = np.append(np.diff(probability_Q) < 0, True)
    found = np.flatnonzero(holds_Q & is_last_Q)
    return float(probability_Q[found[-1]]) if len(found) else None
