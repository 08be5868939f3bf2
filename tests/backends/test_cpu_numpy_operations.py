"""Each operation of the cpu backend computes its formula, in strips and over runs of ancestors too."""

from itertools import pairwise

import numpy as np
import pytest

from qwen3_reranker.backends.cpu import numpy_operations


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def plain_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal attention of the last queries over all keys, one head at a time, float64."""
    groups, repeats, asking, head_dim = q.shape
    result = np.empty(q.shape)
    for group in range(groups):
        for repeat in range(repeats):
            score = q[group, repeat].astype(np.float64) @ k[group].T / np.sqrt(head_dim)
            late = np.arange(k.shape[1]) > np.arange(k.shape[1] - asking, k.shape[1])[:, None]
            score[late] = -np.inf
            weight = np.exp(score - score.max(axis=1, keepdims=True))
            result[group, repeat] = weight / weight.sum(axis=1, keepdims=True) @ v[group]
    return result


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 6]])
@pytest.mark.parametrize("asking", [1, 4, 5])
def test_attention_over_ancestors_and_own_is_attention_over_all(cuts: list[int], asking: int) -> None:
    own, total = 5, 5 + (cuts[-1] if cuts else 0)
    q, k, v = numbers(2, 3, asking, 8), numbers(2, total, 8), numbers(2, total, 8)
    edges = [0, *cuts]
    ancestors = [(k[:, a:b], v[:, a:b]) for a, b in pairwise(edges)]
    mixed = numpy_operations.attend(q, k[:, -own:], v[:, -own:], ancestors)
    assert np.abs(mixed - plain_attention(q, k, v)).max() < 1e-5


def test_a_segment_asked_in_pieces_gives_what_it_gives_at_once() -> None:
    q, k, v = numbers(2, 3, 7, 8), numbers(2, 7, 8), numbers(2, 7, 8)
    pieces = [numpy_operations.attend(q[:, :, a:b], k[:, :b], v[:, :b], []) for a, b in ((0, 3), (3, 4), (4, 7))]
    assert np.abs(np.concatenate(pieces, axis=2) - numpy_operations.attend(q, k, v, [])).max() < 1e-6


def test_the_mlp_is_its_formula() -> None:
    x, gate_up, down = numbers(30, 6), numbers(18, 6), numbers(6, 9)
    gate, up = x @ gate_up[:9].T, x @ gate_up[9:].T
    expected = (gate / (1 + np.exp(-gate)) * up) @ down.T
    assert np.abs(numpy_operations.mlp(x, gate_up, down) - expected).max() < 1e-4


def test_the_mlp_of_a_huge_negative_gate_is_zero_and_warns_nobody() -> None:
    x = np.array([[1.0]], dtype=np.float32)
    gate_up = np.array([[-1000.0], [3.0]], dtype=np.float32)
    assert numpy_operations.mlp(x, gate_up, np.array([[1.0]], dtype=np.float32)) == 0


def test_rms_norm_scales_to_a_root_mean_square_of_one() -> None:
    normed = numpy_operations.rms_norm(numbers(4, 64) * 7, np.ones(64, dtype=np.float32), 1e-6)
    assert np.sqrt((normed**2).mean(axis=-1)) == pytest.approx(1, abs=1e-4)


def test_rotation_leaves_products_that_depend_on_the_distance_alone() -> None:
    weight, x = np.ones(16, dtype=np.float32), numbers(1, 1, 16)
    rotated = []
    for place in (3, 10, 1003, 1010):
        cos, sin = numpy_operations.rotation(np.array([place], dtype=np.int32), 16, 1e6)
        out = np.empty((1, 1, 16), dtype=np.float32)
        numpy_operations.norm_rotate(x, weight, 1e-6, cos, sin, out)
        rotated.append(out[0, 0])
    assert rotated[0] @ rotated[1] == pytest.approx(rotated[2] @ rotated[3], abs=1e-3)
    assert np.linalg.norm(rotated[0]) == pytest.approx(np.linalg.norm(rotated[3]), abs=1e-4)
