"""Rankings sort by logit, keep ties in input order, and name both numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import score
from qwen3_reranker.errors import InputError
from qwen3_reranker.record_texts import RecordTexts
from qwen3_reranker.records import DocumentScores, Receipt, Usage

RECEIPT = Receipt(1, 1, 1, 1)


def ranked(logits: list[float], top_k: int | None = None) -> list[int]:
    array = np.array(logits, dtype=np.float32)
    scores = DocumentScores(array, score.probabilities(array), (RECEIPT,) * len(logits), Usage(0, 0, 0, 0))
    texts = [str(each) for each in logits]
    return [hit.index for hit in score.rank(scores, RecordTexts("documents", texts, texts), top_k)]


def test_the_best_come_first_and_ties_keep_their_input_order() -> None:
    assert ranked([1, 3, 3, 2, 3]) == [1, 2, 4, 3, 0]


def test_a_top_k_of_numpy_is_a_whole_number_too() -> None:
    assert score.checked_top_k(np.int64(3)) == 3  # type: ignore[arg-type]


def test_top_k_takes_the_best_and_never_more_than_there_are() -> None:
    assert ranked([1, 3, 2], top_k=2) == [1, 2]
    assert ranked([1, 3, 2], top_k=9) == [1, 2, 0]
    assert ranked([], top_k=1) == []


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5, "3"])
def test_a_top_k_that_is_no_positive_whole_number_is_an_error(top_k: object) -> None:
    with pytest.raises(InputError, match="top_k must be a whole number of at least 1"):
        score.checked_top_k(top_k)  # type: ignore[arg-type]


@given(st.floats(-100, 100, width=32))
def test_the_probability_is_the_sigmoid_of_the_logit(logit: float) -> None:
    [ours] = score.probabilities(np.array([logit], dtype=np.float32))
    assert ours == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-7)


def test_probabilities_of_near_logits_do_not_fall_together_where_bfloat16_would() -> None:
    logits = np.array([6.25, 6.5, 7.0, 9.0], dtype=np.float32)
    assert len(set(score.probabilities(logits).tolist())) == 4
    assert score.probabilities(np.array([-1e30, 1e30], dtype=np.float32)).tolist() == [0, 1]
