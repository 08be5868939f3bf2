"""Values of queries -> intervals and p values: bootstrap, paired randomisation, Holm.

Several sets are averaged set by set, each by its weight: an array holds the queries of one set, and queries are drawn,
and signs flipped, within their set. Shapes: Q queries of a set, B draws, K candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError

Values = NDArray[np.float64]

DRAWS = 10_000
LEVEL = 0.95
_DRAWS_AT_ONCE = 250
# Sums of the same numbers in another order differ by roundings; such a draw is as extreme as what was seen.
_ROUNDING = 1e-12


def weighted_mean(sets: Sequence[Values], weights: Sequence[float]) -> float:
    """The sum of each set's mean times its weight. Raises InputError where a set has no queries."""
    if not sets or not all(len(values_Q) for values_Q in sets):
        raise InputError("expected at least one query in every set, got none")
    return float(sum(weight * values_Q.mean() for values_Q, weight in zip(sets, weights, strict=True)))


def mean_interval(
    sets: Sequence[Values], weights: Sequence[float], *, seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The percentile bootstrap interval of `weighted_mean`: the ends of the middle `level` of resampled means."""
    weighted_mean(sets, weights)
    total_B = np.zeros(draws)
    for number, (values_Q, weight) in enumerate(zip(sets, weights, strict=True)):
        rng = np.random.default_rng((seed, number))
        means = [
            values_Q[rng.integers(0, len(values_Q), (some, len(values_Q)), np.int32)].mean(axis=1)
            for some in _portions(draws)
        ]
        total_B += weight * np.concatenate(means)
    low, high = np.quantile(total_B, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def paired_p(differences: Sequence[Values], weights: Sequence[float], *, seed: int = 0, draws: int = DRAWS) -> float:
    """The two-sided p of a paired randomisation test. Random signs move the mean as far from 0 so often.

    differences: system minus baseline for each query (Smucker, Allan and Carterette, CIKM 2007). What was seen counts
    as one of the draws, so p is never 0.
    """
    seen = abs(weighted_mean(differences, weights))
    total_B = np.zeros(draws)
    for number, (values_Q, weight) in enumerate(zip(differences, weights, strict=True)):
        total_B += weight * _flipped_means(values_Q[None], (seed, number), draws)[0]
    return float((1 + (np.abs(total_B) >= seen - _ROUNDING).sum()) / (1 + draws))


def best_of_p(differences_KQ: Values, *, seed: int = 0, draws: int = DRAWS) -> float:
    """The p of the best of K candidates against one baseline, corrected for the choice.

    The same random signs are used for all candidates, and the largest of their means counts (the maximum statistic of
    Westfall and Young): the share of draws in which some candidate moves as far from 0 as the winner did.
    """
    seen = max(float(differences_KQ.mean(axis=1).max()), 0.0)
    largest_B = np.abs(_flipped_means(differences_KQ, (seed, 0), draws)).max(axis=0)
    return float((1 + (largest_B >= seen - _ROUNDING).sum()) / (1 + draws))


def holm(p_values: Sequence[float]) -> list[float]:
    """The same p values, made larger for being several (Holm 1979), in input order."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return corrected.tolist()


def _flipped_means(differences_KQ: Values, seed: tuple[int, int], draws: int) -> Values:
    """Means with random signs, (K, B)."""
    rng = np.random.default_rng(seed)
    num_queries = differences_KQ.shape[1]
    parts = []
    for some in _portions(draws):
        bits = np.frombuffer(rng.bytes(some * ((num_queries + 7) // 8)), np.uint8).reshape(some, -1)
        signs_BQ = np.unpackbits(bits, axis=1, count=num_queries).astype(float) * 2 - 1
        parts.append(differences_KQ @ signs_BQ.T / num_queries)
    return np.concatenate(parts, axis=1)


def _portions(draws: int) -> Iterator[int]:
    for first in range(0, draws, _DRAWS_AT_ONCE):
        yield min(_DRAWS_AT_ONCE, draws - first)
