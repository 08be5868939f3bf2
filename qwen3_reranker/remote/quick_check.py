"""Scores of clear-cut pairs -> the faults of a server that no reference is needed for."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.endpoints.clear_pairs import check_clear_pairs
from qwen3_reranker.endpoints.endpoint_faults import ENDPOINT_FAULTS
from qwen3_reranker.endpoints.score_transforms import Numbers

# Each query has an answer, so some score must be higher; llama.cpp without a rank head gives 1e-20 to 1e-28.
_LEAST_PROBABILITY = 1e-8


def faults(scores_QD: Numbers) -> list[str]:
    """A line for each fault that (num_queries, num_documents) scores show, where only document i answers query i.

    The lines begin with the fault's name in the catalogue.
    """
    num_queries = len(scores_QD)
    lowest, highest = float(scores_QD.min()), float(scores_QD.max())
    sums_Q = scores_QD.sum(axis=1)
    if highest - lowest < 1e-7:
        name = "zero-head" if min(abs(highest - zero) for zero in (0.5, 0.0)) < 1e-6 else "empty-prompt"
        return [_line(name, f"all {scores_QD.size} pairs score {highest:.6g}")]
    if np.all(np.abs(sums_Q - 1) < 1e-3):
        return [_line("softmax-over-documents", f"the scores of each of {num_queries} lists add up to 1")]
    if lowest >= 0 and highest < _LEAST_PROBABILITY:
        return [_line("generation-head", f"all {scores_QD.size} scores are below {highest:.1g}")]
    result = check_clear_pairs(scores_QD)
    if not result.decided and not result.findings:
        best_Q = np.argmax(scores_QD, axis=1)
        right = int(np.sum(best_Q == np.arange(num_queries)))
        evidence = (
            f"the answer to a plain question scores highest for {right} of {num_queries} questions, and right "
            "answers are no further from wrong ones than chance puts them"
        )
        return [_line("no-template", evidence)]
    return [_line(name, evidence) for name, evidence in result.findings]


def _line(name: str, evidence: str) -> str:
    fault = ENDPOINT_FAULTS[name]
    return f"{name}: {evidence}. {fault.meaning} {fault.fix}"
