"""What the forward pass does in numpy: rotary angles, and the norm after the last layer."""

import numpy as np
import pytest

from qwen3_reranker.backends.cpu.forward import rms_norm, rotary_angles


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_rms_norm_scales_to_a_root_mean_square_of_one() -> None:
    normed = rms_norm(numbers(4, 64) * 7, np.ones(64, dtype=np.float32), 1e-6)
    assert np.sqrt((normed**2).mean(axis=-1)) == pytest.approx(1, abs=1e-4)


def test_rotation_leaves_products_that_depend_on_the_distance_only() -> None:
    first, second = np.split(numbers(16), 2)
    rotated = []
    for position in (3, 10, 1003, 1010):
        cos, sin = (angles[0] for angles in rotary_angles(np.array([position]), 16, 1e6))
        rotated.append(np.concatenate((first * cos - second * sin, second * cos + first * sin)))
    assert rotated[0] @ rotated[1] == pytest.approx(rotated[2] @ rotated[3], abs=1e-3)
    assert np.linalg.norm(rotated[0]) == pytest.approx(np.linalg.norm(rotated[3]), abs=1e-4)
