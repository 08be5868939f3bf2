"""Rounding to an encoding gives the bytes that llama.cpp's and torch's own rounding give."""

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import quantize

from qwen3_reranker.convert.quantise import quantise


def values() -> np.ndarray:
    random = np.random.default_rng(0)
    x = (random.standard_normal((1000, 64)) * random.lognormal(0, 3, (1000, 1))).astype(np.float32)
    x[5], x[6, :32], x[7, 3] = 0, 0, -0.0
    return x


@pytest.mark.parametrize("encoding", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_bytes_are_those_of_gguf_py(encoding: str) -> None:
    expected = np.ascontiguousarray(quantize(values(), getattr(gguf.GGMLQuantizationType, encoding)))
    np.testing.assert_array_equal(quantise(values(), encoding), expected.view(np.uint8).reshape(-1))


def test_bfloat16_rounds_as_torch_does() -> None:
    x = np.concatenate((values().reshape(-1), np.array([np.nan, np.inf, -np.inf], np.float32)))
    rounded = torch.from_numpy(quantise(x, "BF16").copy()).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(rounded, torch.from_numpy(x).bfloat16().float().numpy())
