"""Scores of a server beside those of every hypothesis: which one explains them, and none if that is not plain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.doctor.hypotheses import CANONICAL, PROMPTS, Judge, Pair, Prompt

Numbers = NDArray[np.float64]

# Beyond this, probabilities in 16 bits are 0 or 1 and tell nothing.
_MOST_LOGIT = 6.0
# Logits: below the first, nobody could have computed anything else; above the last, no rounding explains it.
_EXACT = 2e-3
_LEAST_LOOSE, _MOST_LOOSE = 0.05, 1.0
# An explanation must be that many times nearer than health.
_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server did to the logit before it sent it. `undo` gives the logits back, or None where that cannot be."""

    description: str
    faults: tuple[str, ...]
    undo: Callable[[Numbers], Numbers | None]


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


def _negated(undo: Callable[[Numbers], Numbers | None]) -> Callable[[Numbers], Numbers | None]:
    def negated(scores_N: Numbers) -> Numbers | None:
        logits_N = undo(scores_N)
        return None if logits_N is None else -logits_N

    return negated


READINGS = (
    Reading("a probability", (), _probability),
    Reading("a raw logit", (), lambda scores_N: scores_N),
    Reading("a sigmoid of a probability", ("double-sigmoid",), _doubled),
    Reading("the probability of no", ("swapped",), _negated(_probability)),
    Reading("the raw logit no - yes", ("swapped",), _negated(lambda scores_N: scores_N)),
    Reading("a sigmoid of the probability of no", ("swapped", "double-sigmoid"), _negated(_doubled)),
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A hypothesis and how far the server's logits lie from it: `error` is the root of the mean square.

    spread: the standard deviation of the logits that its reading makes of the scores, cut alike.
    """

    prompt: Prompt
    head: str
    reading: Reading
    error: float
    spread: float

    @property
    def says_more_than_their_mean(self) -> bool:
        """Whether it lies nearer than one number for all pairs: probabilities of 0.5, say, resemble logits of 0.5."""
        return self.error < self.spread

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, in words of the catalogue; empty for health."""
        wrong_head = () if self.head == "yes - no" else ("wrong-answer-words",)
        return (*self.prompt.faults, *wrong_head, *self.reading.faults)

    @property
    def description(self) -> str:
        """The hypothesis in words."""
        head = "" if self.head == "yes - no" else f", scored by {self.head}"
        return f"{self.prompt.description}{head}, sent as {self.reading.description}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What explains the server's scores: `best`, or nothing (None). `healthy` is the nearest without a fault."""

    best: Explanation | None
    healthy: Explanation | None
    spread: float


def explain(judge: Judge, pairs: list[Pair], scores_N: Numbers) -> Verdict:
    """The hypothesis that explains the scores of these pairs, (N,).

    A fault is named only where its scores lie much nearer than those of a healthy server, and near enough.
    """
    found = _explanations(judge, CANONICAL, pairs, scores_N)
    healthy = min((each for each in found if not each.faults), key=lambda each: each.error, default=None)
    spread = float(np.std(judge.logits(judge.rows(CANONICAL, pairs))))
    if healthy is not None and healthy.error <= _EXACT:
        return Verdict(healthy, healthy, spread)
    for written in PROMPTS[1:]:
        found.extend(_explanations(judge, written, pairs, scores_N))
    # Of two that lie equally near, the one with fewer faults.
    plausible = [each for each in found if not each.faults or each.says_more_than_their_mean]
    nearest = min(plausible, key=lambda each: (round(each.error, 4), len(each.faults)), default=None)
    if nearest is None:
        return Verdict(None, None, spread)
    return Verdict(_convincing(nearest, healthy, loose(spread)), healthy, spread)


def loose(spread: float) -> float:
    """How far logits may lie from a hypothesis that explains them, for pairs whose logits spread that far."""
    return float(np.clip(0.5 * spread, _LEAST_LOOSE, _MOST_LOOSE))


def nearest(observed_N: Numbers, predicted: Mapping[str, Numbers]) -> tuple[str, dict[str, float]]:
    """The name of the prediction that lies nearest to the logits, and the error of each."""
    errors = {name: distance(observed_N, logits_N) for name, logits_N in predicted.items()}
    return min(errors, key=errors.__getitem__), errors


def plainly_nearer(error: float, healthy_error: float, limit: float) -> bool:
    """Whether a fault explains logits that health does not."""
    return error <= limit and _MARGIN * error < healthy_error and healthy_error > _EXACT


def distance(observed_N: Numbers, predicted_N: Numbers) -> float:
    """Root of the mean square between two sets of logits, both cut where 16-bit probabilities end."""
    return float(np.sqrt(np.mean((_cut(observed_N) - _cut(predicted_N)) ** 2)))


def _cut(logits_N: Numbers) -> Numbers:
    return np.clip(logits_N, -_MOST_LOGIT, _MOST_LOGIT)


def _convincing(nearest: Explanation, healthy: Explanation | None, limit: float) -> Explanation | None:
    healthy_error = np.inf if healthy is None else healthy.error
    if not nearest.faults:
        return nearest if nearest.error <= limit else None
    if plainly_nearer(nearest.error, healthy_error, limit):
        return nearest
    return healthy if healthy_error <= limit else None


def _explanations(judge: Judge, written: Prompt, pairs: list[Pair], scores_N: Numbers) -> list[Explanation]:
    hidden_ND = judge.hidden(judge.rows(written, pairs))
    found = []
    for name, weight_D in judge.heads.items():
        for reading in READINGS:
            observed_N = reading.undo(scores_N)
            if observed_N is not None:
                error = distance(observed_N, hidden_ND @ weight_D)
                found.append(Explanation(written, name, reading, error, float(np.std(_cut(observed_N)))))
    return found
