"""Blocks of every encoding hold the numbers that the reference implementation reads from them."""

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize

from qwen3_reranker.weights.encodings import ENCODINGS


@pytest.mark.parametrize("name", ENCODINGS)
def test_random_bytes_decode_to_the_same_bits_as_in_gguf_py(name: str) -> None:
    encoding, kind = ENCODINGS[name], getattr(gguf.GGMLQuantizationType, name)
    assert gguf.GGML_QUANT_SIZES[kind] == (encoding.block_values, encoding.block_bytes)
    blocks = np.random.default_rng(0).integers(0, 256, (500, encoding.block_bytes), dtype=np.uint8)
    values = encoding.decode(blocks)
    assert (values.dtype, values.shape) == (np.float32, (500, encoding.block_values))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = dequantize(blocks, kind).reshape(500, -1)
    np.testing.assert_array_equal(values, expected)
