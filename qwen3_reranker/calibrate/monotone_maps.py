"""Logits and labels -> a monotone map to probabilities: Platt's two numbers, or isotonic knots.

Shapes: N pairs, K knots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qwen3_reranker.endpoints.score_transforms import sigmoid
from qwen3_reranker.evaluate.significance import Values

_STEPS = 100
_SMALLEST_STEP = 1e-10


@dataclass(frozen=True, slots=True)
class PlattMap:
    """The sigmoid of slope * logit + intercept."""

    method: ClassVar[str] = "platt"
    slope: float
    intercept: float

    def probabilities(self, logits_N: Values) -> Values:
        """The probability of each logit, (N,)."""
        return sigmoid(self.slope * logits_N + self.intercept)


@dataclass(frozen=True, slots=True)
class IsotonicMap:
    """Knots with lines between them, and constant outside: logits that rise, probabilities that never fall."""

    method: ClassVar[str] = "isotonic"
    logits: tuple[float, ...]
    knot_probabilities: tuple[float, ...]

    def probabilities(self, logits_N: Values) -> Values:
        """The probability of each logit, (N,)."""
        return np.interp(logits_N, self.logits, self.knot_probabilities)


def fit_platt(logits_N: Values, labels_N: Values) -> PlattMap:
    """The most likely slope and intercept, by Newton's method (Lin, Lin and Weng 2007), with a slope of at least 0.

    Targets are Platt's: not 1 and 0 but (P + 1) / (P + 2) of P positives and 1 / (M + 2) of M negatives, so that
    classes that do not overlap still have a finite slope.
    """
    positives, negatives = float(labels_N.sum()), float((1 - labels_N).sum())
    targets_N = np.where(labels_N > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, spread = float(logits_N.mean()), float(logits_N.std()) or 1.0
    inputs_2N = np.stack([(logits_N - centre) / spread, np.ones_like(logits_N)])

    def loss(found: Values) -> float:
        values_N = found @ inputs_2N
        return float(np.logaddexp(0, values_N).sum() - targets_N @ values_N)

    found = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(_STEPS):
        shares_N = sigmoid(found @ inputs_2N)
        gradient = inputs_2N @ (shares_N - targets_N)
        if np.abs(gradient).max() < 1e-9 * len(logits_N):
            break
        curvature = (inputs_2N * (shares_N * (1 - shares_N))) @ inputs_2N.T + 1e-12 * np.eye(2)
        direction = np.linalg.solve(curvature, gradient)
        size, before = 1.0, loss(found)
        while loss(found - size * direction) > before - 1e-4 * size * gradient @ direction and size > _SMALLEST_STEP:
            size /= 2
        found = found - size * direction
    slope = float(found[0]) / spread
    if slope <= 0:
        share = float(targets_N.mean())
        return PlattMap(0.0, float(np.log(share / (1 - share))))
    return PlattMap(slope, float(found[1]) - slope * centre)


def fit_isotonic(logits_N: Values, labels_N: Values) -> IsotonicMap:
    """The map without a fall that is nearest to the labels in squares, by pooling adjacent violators.

    Equal logits are one point. No probability goes beyond 1 / (N + 2) of 0 and 1: N pairs show no more than that.
    """
    knots, which_N, counts = np.unique(logits_N, return_inverse=True, return_counts=True)
    levels = pooled(np.bincount(which_N, labels_N) / counts, counts.astype(np.float64))
    least = 1 / (len(logits_N) + 2)
    # The ends of each level; between two levels the map is a line.
    ends = np.flatnonzero(np.diff(levels))
    kept = np.unique(np.concatenate([[0, len(levels) - 1], ends, ends + 1])).astype(int)
    return IsotonicMap(tuple(knots[kept].tolist()), tuple(np.clip(levels, least, 1 - least)[kept].tolist()))


def pooled(means: Values, weights: Values) -> Values:
    """The values without a fall that are nearest to the means, in weighted squares: neighbours that fall are merged."""
    blocks: list[tuple[float, float, int]] = []
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        block = (mean, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            before = blocks.pop()
            total = before[1] + block[1]
            block = ((before[0] * before[1] + block[0] * block[1]) / total, total, before[2] + block[2])
        blocks.append(block)
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


MonotoneMap = PlattMap | IsotonicMap
FITS: Mapping[str, Callable[[Values, Values], MonotoneMap]] = {
    PlattMap.method: fit_platt,
    IsotonicMap.method: fit_isotonic,
}
