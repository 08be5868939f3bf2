"""Scores of clear-cut pairs -> their scale, and whether yes and no are swapped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.endpoints.score_transforms import SCORE_TRANSFORMS, Numbers, ScoreTransform, logit

_PROBABILITY, _RAW = SCORE_TRANSFORMS[:2]
_HIGHEST_DOUBLED = 1 / (1 + np.exp(-1.0))
# Mean logit of the right documents minus that of the others: any reranker is at least this sure of such pairs.
_LEAST_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class ClearPairResult:
    """The scale of the scores. `decided` is False if they do not separate right from wrong documents."""

    transform: ScoreTransform
    decided: bool
    findings: tuple[tuple[str, str], ...] = ()


def plain_transform(scores_QD: Numbers) -> ScoreTransform:
    """A probability if all scores are in 0..1, else a raw logit."""
    return _PROBABILITY if np.all((scores_QD >= 0) & (scores_QD <= 1)) else _RAW


def check_clear_pairs(scores_QD: Numbers) -> ClearPairResult:
    """The scale of (num_queries, num_documents) scores, where only document i answers query i.

    A fault is found only if all queries agree, with a margin, so that an untrained model gets no false finding.
    Five queries of five documents agree by chance once in 3,125 times.
    """
    plain = plain_transform(scores_QD)
    lowest, highest = float(scores_QD.min()), float(scores_QD.max())
    # A model that is sure of yes and of no reaches both ends.
    doubled = lowest >= 0.5 - 1e-6 and lowest < 0.52 and 0.7 < highest <= _HIGHEST_DOUBLED + 1e-6
    logits_QD = logit(np.clip(logit(scores_QD), 0, 1)) if doubled else scores_QD if plain is _RAW else logit(scores_QD)
    right_Q = np.diagonal(logits_QD)
    others_QD = logits_QD[~np.eye(len(logits_QD), dtype=bool)].reshape(len(logits_QD), -1)
    margin = float(right_Q.mean() - others_QD.mean())
    found: list[tuple[str, str]] = []
    if margin < -_LEAST_MARGIN and np.all(right_Q < others_QD.min(axis=1)):
        evidence = f"the answers to {len(right_Q)} plain questions score lowest, {-margin:.1f} logits below the rest"
        found.append(("swapped", evidence))
    elif not (margin > _LEAST_MARGIN and np.all(right_Q > others_QD.max(axis=1))):
        return ClearPairResult(plain, decided=False)
    if doubled:
        evidence = f"answers score up to {highest:.4f}, the wrong documents down to {lowest:.4f}; none is outside"
        found.append(("double-sigmoid", evidence))
    faults = tuple(fault for fault, _ in found)
    alike = [each for each in SCORE_TRANSFORMS if each.faults == faults]
    # Of two transforms that differ only in scale, take the one that fits these scores.
    return ClearPairResult(alike[-1] if plain is _RAW else alike[0], decided=True, findings=tuple(found))
