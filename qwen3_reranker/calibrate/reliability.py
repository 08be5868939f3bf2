"""Probabilities and labels -> reliability table, expected calibration error, Brier score, with intervals over queries.

Every figure is a function of sums over queries, so that drawing queries anew is a product of counts and sums.
Shapes: N pairs, Q queries, B draws, K sums, R bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.evaluate.significance import LEVEL, Values

BINS = 15
_DRAWS = 2000
_DRAWS_AT_ONCE = 250
Statistic = Callable[[Values], Values]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % bootstrap interval over queries."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pairs with a probability in [least, most): how many, their mean probability, and the share that is relevant."""

    least: float
    most: float
    pairs: int
    mean: float
    relevant: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities hold. error: over 15 bins of equal width; error_by_count: over 15 of equal count."""

    bins: tuple[ReliabilityBin, ...]
    error: Figure
    error_by_count: Figure
    brier: Figure


def reliability(probabilities_N: Values, labels_N: Values, queries_N: NDArray[np.int64], seed: int = 0) -> Reliability:
    """The reliability of these probabilities. labels_N: 0 or 1. queries_N: the place of each pair's query.

    Expected calibration error: the mean over pairs of |mean probability - share relevant| of their bin (Naeini, Cooper
    and Hauskrecht 2015; Guo et al. 2017). It is above 0 for perfect probabilities too, by the noise of each bin.
    """
    edges = np.linspace(0, 1, BINS + 1)
    sums_QK = _sums_by_bin(probabilities_N, labels_N, queries_N, edges[1:-1])
    by_count = np.quantile(probabilities_N, edges[1:-1])
    squares_N = (probabilities_N - labels_N) ** 2
    brier_QK = sums_by_query(queries_N, np.stack([squares_N, np.ones_like(squares_N)], axis=1))
    counts, means, shares = np.moveaxis(sums_QK.sum(axis=0).reshape(-1, 3), 1, 0)
    bins = tuple(
        ReliabilityBin(float(edges[each]), float(edges[each + 1]), int(count), mean / count, share / count)
        for each, (count, mean, share) in enumerate(zip(counts.tolist(), means.tolist(), shares.tolist(), strict=True))
        if count
    )
    return Reliability(
        bins,
        figure(sums_QK, calibration_error, seed),
        figure(_sums_by_bin(probabilities_N, labels_N, queries_N, by_count), calibration_error, seed),
        figure(brier_QK, share_of_sums, seed),
    )


def error_ratio(before_N: Values, after_N: Values, labels_N: Values, queries_N: NDArray[np.int64], seed: int) -> Figure:
    """The expected calibration error after as a share of that before, with queries drawn for both at once."""
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    both_QK = np.concatenate([_sums_by_bin(each, labels_N, queries_N, inner) for each in (after_N, before_N)], axis=1)
    half = both_QK.shape[1] // 2
    return figure(both_QK, lambda sums: calibration_error(sums[:, :half]) / calibration_error(sums[:, half:]), seed)


def calibration_error(sums_BK: Values) -> Values:
    """The expected calibration error, (B,), of R bins: sums of (pairs, probabilities, labels) of each, K = 3 R."""
    sums_BR3 = sums_BK.reshape(len(sums_BK), -1, 3)
    gaps_BR = np.abs(sums_BR3[..., 1] - sums_BR3[..., 2])
    error_B: Values = gaps_BR.sum(axis=1) / sums_BR3[..., 0].sum(axis=1)
    return error_B


def share_of_sums(sums_BK: Values) -> Values:
    """The first sum as a share of the second, (B,); NaN of nothing."""
    with np.errstate(invalid="ignore"):
        share_B: Values = sums_BK[:, 0] / sums_BK[:, 1]
    return share_B


def figure(sums_QK: Values, statistic: Statistic, seed: int = 0) -> Figure:
    """A function of sums over queries, with the middle 95 % of its values for queries drawn anew.

    Draws where it is not defined, as a share of nothing, are left out.
    """
    times_BQ = _draws(len(sums_QK), seed)
    parts = range(0, _DRAWS, _DRAWS_AT_ONCE)
    found = np.concatenate([statistic(times_BQ[each : each + _DRAWS_AT_ONCE] @ sums_QK) for each in parts])
    found = found[np.isfinite(found)]
    value = float(statistic(sums_QK.sum(axis=0, keepdims=True))[0])
    if not len(found):
        return Figure(value, np.nan, np.nan)
    low, high = np.quantile(found, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Figure(value, float(low), float(high))


@lru_cache(maxsize=1)
def _draws(count: int, seed: int) -> NDArray[np.float32]:
    """How often each query is drawn, (B, Q). All figures of a report come from the same draws."""
    rng = np.random.default_rng(seed)
    return np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(_DRAWS)]).astype(
        np.float32
    )


def sums_by_query(queries_N: NDArray[np.int64], values_NK: Values) -> Values:
    """The sum of each column by query, (Q, K)."""
    sums_QK = np.zeros((int(queries_N.max()) + 1, values_NK.shape[1]))
    np.add.at(sums_QK, queries_N, values_NK)
    return sums_QK


def _sums_by_bin(probabilities_N: Values, labels_N: Values, queries_N: NDArray[np.int64], inner: Values) -> Values:
    """By query and bin the number of pairs, the sum of probabilities and that of labels, (Q, 3 R)."""
    sums_QR3 = np.zeros((int(queries_N.max()) + 1, len(inner) + 1, 3))
    values_N3 = np.stack([np.ones_like(labels_N), probabilities_N, labels_N], axis=1)
    np.add.at(sums_QR3, (queries_N, np.digitize(probabilities_N, inner)), values_N3)
    return sums_QR3.reshape(len(sums_QR3), -1)
