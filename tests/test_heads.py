"""A judge's head is yes - no in float32, an embedding model's is of length 1; both refuse what says nothing."""

import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.heads import EmbeddingHead, YesNoHead


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


def test_a_vector_is_the_first_numbers_of_the_state_at_length_one() -> None:
    state = np.zeros((1, 64), dtype=np.float32)
    state[0, [0, 1, 40]] = 3, 4, 100
    cut = EmbeddingHead(64, 32)(state)
    assert (cut.dtype, cut.shape) == (np.float32, (1, 32))
    np.testing.assert_array_equal(cut[0, :3], np.array([0.6, 0.8, 0], dtype=np.float32))
    whole = EmbeddingHead(64)(state)
    np.testing.assert_allclose(whole[0, [0, 1, 40]], np.array([3, 4, 100]) / np.sqrt(10_025), rtol=1e-7)


@pytest.mark.parametrize("dim", [32, 100, 1024])
def test_a_vectors_bits_do_not_depend_on_the_number_of_rows(dim: int) -> None:
    states = np.random.default_rng(0).standard_normal((300, 1024)).astype(np.float32) * 1e20
    head = EmbeddingHead(1024, dim)
    together = head(states)
    for index in range(300):
        np.testing.assert_array_equal(head(states[index : index + 1])[0], together[index])
    assert np.abs(np.linalg.norm(together.astype(np.float64), axis=1) - 1).max() < 1e-6


def test_a_network_below_32_numbers_is_cut_no_further() -> None:
    assert EmbeddingHead(16).dim == EmbeddingHead(16, 16).dim == 16


@pytest.mark.parametrize("dim", [0, 31, 65, -32, True, 48.0, "48"])
def test_sizes_that_the_model_was_not_trained_for_are_refused(dim: object) -> None:
    with pytest.raises(InputError, match=r"dim must be a whole number of 32 to 64, .* got "):
        EmbeddingHead(64, dim)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0])
def test_a_state_without_a_direction_is_refused(wrong: float) -> None:
    states = np.ones((3, 64), dtype=np.float32)
    states[1] = wrong
    with pytest.raises(CheckpointError, match=r"a vector that is not finite|a vector of zeros alone"):
        EmbeddingHead(64, 32)(states)
