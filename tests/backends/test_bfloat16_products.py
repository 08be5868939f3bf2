"""A product in bfloat16 rounds both of its sides to the nearest and adds in float32, however weights are stored."""

from __future__ import annotations

import numpy as np
import pytest

from qwen3_reranker.backends.cpu.kernels import native_module
from testing.kernel_variants import VARIANTS

DTYPES = {"BF16": 0, "F16": 1, "F32": 2}


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, ties to even, in float64: by scaling each mantissa to 8 whole bits."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Normal numbers; half of them lie in the middle between two of bfloat16, and all are numbers of float16."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    mantissa, exponent = np.frexp(values)
    middle = np.ldexp(np.floor(mantissa * 256) + 0.5, exponent - 8)
    return np.where(random.random(shape) < 0.5, middle, values).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_product_is_that_of_the_rounded_sides(variant: str, dtype: str) -> None:
    # No multiple of a panel, nor of two or four inputs.
    tokens, outputs, inputs = 37, 77, 301
    x, weight = numbers((tokens, inputs), 1), numbers((outputs, inputs), 2)
    if dtype == "BF16":
        weight = rounded(weight).astype(np.float32)
        stored = (weight.view(np.uint32) >> 16).astype("<u2")
    else:
        stored = weight.astype({"F16": "<f2", "F32": "<f4"}[dtype])
    matrix = native_module().stored_matrix(stored.view(np.uint8).reshape(-1), DTYPES[dtype], outputs, inputs, 1)
    transformer = native_module().TransformerCpu(
        variant, hidden=32, heads=2, num_kv_heads=1, head_dim=16, epsilon=1e-6, threads=2
    )
    out = np.empty((tokens, outputs), np.float32)
    transformer.multiply(matrix, x, out)
    left, right = rounded(x), rounded(weight)
    most = np.abs(left) @ np.abs(right).T
    assert (np.abs(out - left @ right.T) < 1e-6 * most).all()
    assert (np.abs(out - x.astype(np.float64) @ weight.T.astype(np.float64)) > 1e-5 * most).any()
