"""A server's scores -> the hypothesis that explains them, or none if unclear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.doctor.hypotheses import CANONICAL, PROMPTS, Prompt
from qwen3_reranker.doctor.reference_model import Pair, ReferenceModel
from qwen3_reranker.endpoints.score_transforms import SCORE_TRANSFORMS, Numbers, ScoreTransform

# Beyond this logit, 16-bit probabilities round to 0 or 1 and carry no information.
_MAX_LOGIT = 6.0
# Distances in logits: below the first, the match is exact; above the last, rounding cannot explain the difference.
_EXACT = 2e-3
_MIN_LOOSE, _MAX_LOOSE = 0.05, 1.0
# A fault must fit this many times better than a healthy server.
_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class FittedHypothesis:
    """A hypothesis and its distance from the server's logits.

    error: root mean square, in logits. spread: standard deviation of the logits that `transform` recovers.
    """

    prompt: Prompt
    head: str
    transform: ScoreTransform
    error: float
    spread: float

    @property
    def says_more_than_their_mean(self) -> bool:
        """Whether it fits better than one constant: probabilities near 0.5, say, resemble logits of 0.5."""
        return self.error < self.spread

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of its faults in the catalogue; empty for a healthy server."""
        wrong_head = () if self.head == "yes - no" else ("wrong-answer-words",)
        return (*self.prompt.faults, *wrong_head, *self.transform.faults)

    @property
    def description(self) -> str:
        """The hypothesis in words."""
        head = "" if self.head == "yes - no" else f", scored by {self.head}"
        return f"{self.prompt.description}{head}, sent as {self.transform.description}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The hypothesis that explains the scores (`best`, or None), and the nearest `healthy` one."""

    best: FittedHypothesis | None
    healthy: FittedHypothesis | None
    spread: float


def fitted_hypotheses(reference: ReferenceModel, pairs: list[Pair], scores_N: Numbers) -> Verdict:
    """The hypothesis that explains the scores of these pairs, (N,).

    A fault is named only if it fits well, and much better than a healthy server.
    """
    found = _explanations(reference, CANONICAL, pairs, scores_N)
    healthy = min((each for each in found if not each.faults), key=lambda each: each.error, default=None)
    spread = float(np.std(reference.logits(reference.rows(CANONICAL, pairs))))
    if healthy is not None and healthy.error <= _EXACT:
        return Verdict(healthy, healthy, spread)
    for prompt in PROMPTS[1:]:
        found.extend(_explanations(reference, prompt, pairs, scores_N))
    # Of two equally near hypotheses, take the one with fewer faults.
    plausible = [each for each in found if not each.faults or each.says_more_than_their_mean]
    nearest = min(plausible, key=lambda each: (round(each.error, 4), len(each.faults)), default=None)
    if nearest is None:
        return Verdict(None, None, spread)
    return Verdict(_convincing(nearest, healthy, loose(spread)), healthy, spread)


def loose(spread: float) -> float:
    """The largest distance of an explanation, for logits with this standard deviation."""
    return float(np.clip(0.5 * spread, _MIN_LOOSE, _MAX_LOOSE))


def nearest(observed_N: Numbers, predicted: Mapping[str, Numbers]) -> tuple[str, dict[str, float]]:
    """The name of the prediction nearest to the logits, and the error of each."""
    errors = {name: distance(observed_N, logits_N) for name, logits_N in predicted.items()}
    return min(errors, key=errors.__getitem__), errors


def plainly_nearer(error: float, healthy_error: float, limit: float) -> bool:
    """Whether a fault explains logits that a healthy server does not."""
    return error <= limit and _MARGIN * error < healthy_error and healthy_error > _EXACT


def distance(observed_N: Numbers, predicted_N: Numbers) -> float:
    """Root mean square difference of logits, clipped to what 16-bit probabilities can say."""
    return float(np.sqrt(np.mean((_cut(observed_N) - _cut(predicted_N)) ** 2)))


def _cut(logits_N: Numbers) -> Numbers:
    return np.clip(logits_N, -_MAX_LOGIT, _MAX_LOGIT)


def _convincing(nearest: FittedHypothesis, healthy: FittedHypothesis | None, limit: float) -> FittedHypothesis | None:
    healthy_error = np.inf if healthy is None else healthy.error
    if not nearest.faults:
        return nearest if nearest.error <= limit else None
    if plainly_nearer(nearest.error, healthy_error, limit):
        return nearest
    return healthy if healthy_error <= limit else None


def _explanations(
    reference: ReferenceModel, prompt: Prompt, pairs: list[Pair], scores_N: Numbers
) -> list[FittedHypothesis]:
    hidden_ND = reference.hidden(reference.rows(prompt, pairs))
    found = []
    for name, weight_D in reference.heads.items():
        for transform in SCORE_TRANSFORMS:
            observed_N = transform.inverse(scores_N)
            if observed_N is not None:
                error = distance(observed_N, hidden_ND @ weight_D)
                found.append(FittedHypothesis(prompt, name, transform, error, float(np.std(_cut(observed_N)))))
    return found
