"""What a server does to a logit before it sends it, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreTransform:
    """What a server does to a logit before it sends it.

    inverse: scores, (N,), to logits; None for scores outside the transform's range.
    """

    description: str
    faults: tuple[str, ...]
    inverse: Callable[[Numbers], Numbers | None]


def logit(probability_N: Numbers) -> Numbers:
    """The inverse of the sigmoid, within +-20."""
    clipped = np.clip(probability_N, 1e-9, 1 - 1e-9)
    return np.log(clipped) - np.log1p(-clipped)


def sigmoid(logits_N: Numbers) -> Numbers:
    """The probability of each logit."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits_N)


def _probability(scores_N: Numbers) -> Numbers | None:
    return logit(scores_N) if np.all((scores_N >= 0) & (scores_N <= 1)) else None


def _doubled(scores_N: Numbers) -> Numbers | None:
    inner_N = logit(scores_N)
    return logit(inner_N) if np.all((inner_N >= -1e-4) & (inner_N <= 1 + 1e-4)) else None


def _negated(inverse: Callable[[Numbers], Numbers | None]) -> Callable[[Numbers], Numbers | None]:
    def negated(scores_N: Numbers) -> Numbers | None:
        logits_N = inverse(scores_N)
        return None if logits_N is None else -logits_N

    return negated


SCORE_TRANSFORMS = (
    ScoreTransform("a probability", (), _probability),
    ScoreTransform("a raw logit", (), lambda scores_N: scores_N),
    ScoreTransform("a sigmoid of a probability", ("double-sigmoid",), _doubled),
    ScoreTransform("the probability of no", ("swapped",), _negated(_probability)),
    ScoreTransform("the raw logit no - yes", ("swapped",), _negated(lambda scores_N: scores_N)),
    ScoreTransform("a sigmoid of the probability of no", ("swapped", "double-sigmoid"), _negated(_doubled)),
)
