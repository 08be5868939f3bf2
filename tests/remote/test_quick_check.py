"""The faults that scores of clear-cut pairs show are those that the doctor names."""

import numpy as np
import pytest

from qwen3_reranker.remote.quick_check import faults


@pytest.mark.parametrize(
    ("score", "fault"),
    [
        (0.5, "zero-head"),
        (0.0, "zero-head"),
        (0.6224593312018546, "zero-head"),
        (0.2, "empty-prompt"),
        (3e-20, "generation-head"),
    ],
)
def test_scores_that_are_all_alike_have_the_fault_of_their_value(score: float, fault: str) -> None:
    [line] = faults(np.full((5, 5), score))
    assert line.startswith(f"{fault}: all 25 ")


def test_lists_that_add_up_to_1_come_from_a_softmax_over_documents() -> None:
    scores_QD = np.full((5, 5), 0.05) + np.eye(5) * 0.75
    [line] = faults(scores_QD)
    assert line.startswith("softmax-over-documents: the scores of each of 5 lists add up to 1")


def test_scores_of_a_reranker_have_no_fault() -> None:
    assert faults(np.full((5, 5), 0.01) + np.eye(5) * 0.9) == []
