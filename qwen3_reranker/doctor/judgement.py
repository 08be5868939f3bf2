"""Clear-cut pairs, without a reference: whether the endpoint judges, and whether it says so the wrong way round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.doctor.matching import READINGS, Numbers, Reading, logit

_PROBABILITY, _RAW = READINGS[:2]
_HIGHEST_DOUBLED = 1 / (1 + np.exp(-1.0))
# Logits between the right documents and the others, on average: a judge is never less sure of pairs that plain.
_LEAST_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """How scores are to be read; `decided` is False where the endpoint does not evidently judge."""

    reading: Reading
    decided: bool
    findings: tuple[tuple[str, str], ...] = ()


def plain_reading(scores_QD: Numbers) -> Reading:
    """A probability if the scores can be that, else a raw logit."""
    return _PROBABILITY if np.all((scores_QD >= 0) & (scores_QD <= 1)) else _RAW


def judge_clear_pairs(scores_QD: Numbers) -> Judged:
    """Query i is answered by document i alone; (num_queries, num_documents) scores -> how they are to be read.

    Nothing is found unless all queries agree, with a margin: a model that does not judge must not be accused. By
    chance, five queries of five documents agree once in 3,125.
    """
    plain = plain_reading(scores_QD)
    lowest, highest = float(scores_QD.min()), float(scores_QD.max())
    # A judge that is sure both ways ends near both ends.
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
        return Judged(plain, decided=False)
    if doubled:
        evidence = f"answers score up to {highest:.4f}, the wrong documents down to {lowest:.4f}; nothing lies outside"
        found.append(("double-sigmoid", evidence))
    faults = tuple(fault for fault, _ in found)
    alike = [each for each in READINGS if each.faults == faults]
    # Of two that differ in scale alone, the one that these scores can be.
    return Judged(alike[-1] if plain is _RAW else alike[0], decided=True, findings=tuple(found))
