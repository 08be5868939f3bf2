"""The head is yes - no in float32, and refuses what cannot judge."""

import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.heads import YesNoHead


def test_a_logit_is_the_state_times_yes_minus_no() -> None:
    head = YesNoHead(np.array([[3, 1], [1, 2]], dtype=np.float32), "here")
    logits = head(np.array([[1, 1], [0, 2]], dtype=np.float32))
    assert logits.dtype == np.float32
    assert logits.tolist() == [1, -2]


def test_a_logit_does_not_depend_on_the_number_of_rows() -> None:
    random = np.random.default_rng(0)
    head = YesNoHead(random.standard_normal((2, 1024)).astype(np.float32), "here")
    states = random.standard_normal((300, 1024)).astype(np.float32)
    together = head(states)
    assert [float(head(states[index : index + 1])[0]) for index in range(300)] == together.tolist()


def test_equal_rows_are_refused_as_an_untrained_judge() -> None:
    with pytest.raises(CheckpointError, match=r"^here: the rows of yes and no are equal"):
        YesNoHead(np.ones((2, 4), dtype=np.float32), "here")


def test_numbers_that_are_not_finite_are_refused_in_head_and_state() -> None:
    with pytest.raises(CheckpointError, match="not finite"):
        YesNoHead(np.array([[np.nan, 1], [0, 1]], dtype=np.float32), "here")
    head = YesNoHead(np.array([[1, 1], [0, 1]], dtype=np.float32), "here")
    with pytest.raises(CheckpointError, match="not finite"):
        head(np.array([[np.inf, 0]], dtype=np.float32))
