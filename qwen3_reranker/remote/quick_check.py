"""Scores of clear-cut pairs -> the faults of a server that no reference is needed for."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.endpoints.clear_pairs import check_clear_pairs
from qwen3_reranker.endpoints.endpoint_faults import ENDPOINT_FAULTS
from qwen3_reranker.endpoints.flat_scores import flat_fault
from qwen3_reranker.endpoints.score_transforms import Numbers


def faults(scores_QD: Numbers) -> list[str]:
    """A line for each fault that (num_queries, num_documents) scores show, where only document i answers query i.

    The lines begin with the fault's name in the catalogue.
    """
    num_queries = len(scores_QD)
    if (flat := flat_fault(scores_QD)) is not None:
        highest = float(scores_QD.max())
        is_tiny = flat == "generation-head"
        words = f"scores are below {highest:.1g}" if is_tiny else f"pairs score {highest:.6g}"
        return [_line(flat, f"all {scores_QD.size} {words}")]
    if np.all(np.abs(scores_QD.sum(axis=1) - 1) < 1e-3):
        return [_line("softmax-over-documents", f"the scores of each of {num_queries} lists add up to 1")]
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
