"""The compiled module refuses what would make it read or write where it must not, and never writes to a copy."""

from typing import Any

import numpy as np
import pytest
import qwen3_reranker_kernels as kernels


def stored(outputs: int, inputs: int) -> Any:
    values = np.random.default_rng(0).standard_normal((outputs, inputs)).astype(np.float32)
    return kernels.stored_matrix(values.view(np.uint8).reshape(-1), 2, outputs, inputs)


def engine(**changes: int) -> Any:
    sizes = {"hidden": 32, "heads": 4, "key_value_heads": 2, "head_dim": 8, **changes}
    return kernels.Engine(kernels.variants()[0], epsilon=1e-6, threads=1, **sizes)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 32), np.float64),
        np.zeros((32, 3), np.float32).T,
        np.zeros((3, 64), np.float32)[:, ::2],
    ],
    ids=["float64", "transposed", "strided"],
)
def test_a_result_is_never_written_to_a_copy(out: np.ndarray) -> None:
    with pytest.raises(TypeError):
        engine().multiply(stored(32, 32), np.ones((3, 32), np.float32), out)


@pytest.mark.parametrize(("outputs", "inputs"), [(0, 4), (4, 0), (-1, -4), (1 << 62, 4), (1 << 30, 1 << 34)])
def test_a_matrix_without_a_possible_size_is_refused(outputs: int, inputs: int) -> None:
    with pytest.raises(ValueError, match=r"at least 1|do not fit"):
        kernels.stored_matrix(np.zeros(8, np.uint8), 0, outputs, inputs)
    with pytest.raises(ValueError, match=r"at least 1|do not fit"):
        kernels.panel_matrix(np.zeros(8, np.uint8), np.zeros(8, np.float32), outputs, inputs, 64, 1)


@pytest.mark.parametrize("changes", [{"key_value_heads": 0}, {"heads": 3}, {"head_dim": -8}, {"hidden": 0}])
def test_an_engine_without_a_possible_shape_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|multiple"):
        engine(**changes)


def test_projecting_to_nothing_is_refused() -> None:
    matrices = [stored(*shape) for shape in ((32, 32), (16, 32), (16, 32), (32, 32), (48, 32), (48, 32), (32, 48))]
    norms = [np.ones(size, np.float32) for size in (32, 8, 8, 32)]
    layer = kernels.Layer(matrices, norms)
    x, angles = np.ones((3, 32), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="nothing to project"):
        engine().project(layer, x, angles, angles, None, None, None)
