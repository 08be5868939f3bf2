"""Parts of plain numbers of 8 bits or more: their rows -> float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qwen3_reranker.weights.encodings import ENCODINGS, Bytes, Floats
from qwen3_reranker.weights.quantised.parts import Indices, rows_of
from qwen3_reranker.weights.tensor import StoredTensor


def _floats(exponent_bits: int, mantissa_bits: int) -> Floats:
    """The numbers of an 8-bit float by their bits, (256,), without infinity and NaN."""
    bits = np.arange(256)
    exponent = bits >> mantissa_bits & (1 << exponent_bits) - 1
    fraction = (bits & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
    bias = (1 << exponent_bits - 1) - 1
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    return (values * np.where(bits >> 7, -1, 1)).astype(np.float32)


# arXiv 2209.05433, table 1: E4M3 has no infinities and one NaN of each sign, E5M2 is as IEEE 754 would have it.
_E4M3, _E5M2 = _floats(4, 3), _floats(5, 2)
_E4M3[[0x7F, 0xFF]] = np.nan
_E5M2[[0x7C, 0xFC]] = np.inf, -np.inf
_E5M2[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan
# A scale that is a power of two (OCP Microscaling Formats 1.0, section 5.4.1).
_E8M0 = np.append(2.0 ** np.arange(-127, 128), np.nan).astype(np.float32)

_EIGHT_BITS: dict[str, Callable[[Bytes], Floats]] = {
    "I8": lambda stored: stored.view(np.int8).astype(np.float32),
    "F8_E4M3": _E4M3.__getitem__,
    "F8_E5M2": _E5M2.__getitem__,
    "F8_E8M0": _E8M0.__getitem__,
}


def number_rows(part: StoredTensor, indices: Indices) -> Floats:
    """Those rows of a part, (R, columns)."""
    stored = rows_of(part, indices)
    if part.dtype in _EIGHT_BITS:
        return _EIGHT_BITS[part.dtype](stored)
    width = stored.shape[1] // part.shape[1]
    return ENCODINGS[part.dtype].decode(stored.reshape(-1, width)).reshape(stored.shape[0], -1)
