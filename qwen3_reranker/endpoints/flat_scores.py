"""Scores that say nothing of their texts -> the fault that makes them so."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.endpoints.score_transforms import Numbers, sigmoid

# Each query has an answer, so some score must be higher; llama.cpp without a rank head gives 1e-20 to 1e-28.
_LEAST_PROBABILITY = 1e-8
# A head of zeros gives logit 0, which is probability 0.5, or sigmoid(0.5) after two sigmoids.
_OF_ZERO_HEAD = (0.5, 0.0, float(sigmoid(np.array(0.5))))


def flat_fault(scores: Numbers) -> str | None:
    """The name of the fault where all scores of several queries are alike or almost 0; None where they differ."""
    lowest, highest = float(np.min(scores)), float(np.max(scores))
    if lowest >= 0 and 0 < highest < _LEAST_PROBABILITY:
        return "generation-head"
    if highest - lowest < 1e-7:
        return "zero-head" if min(abs(highest - value) for value in _OF_ZERO_HEAD) < 1e-6 else "empty-prompt"
    return None
