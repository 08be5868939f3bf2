"""float32 values -> the bytes of an encoding: rounded as llama.cpp and torch round.

Source of the block rounding: quantize_row_q8_0_ref and quantize_row_q4_0_ref in ggml-quants.c of
https://github.com/ggml-org/llama.cpp. Shapes: B blocks of V values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.weights.encodings import ENCODINGS, Bytes, Floats, rounded_to_bf16


def quantise(values: Floats, encoding: str) -> Bytes:
    """The bytes of consecutive values, flat; the values must fill whole blocks."""
    blocks = np.ascontiguousarray(values, np.float32).reshape(-1, ENCODINGS[encoding].block_values)
    return _QUANTISERS[encoding](blocks).reshape(-1)


def _as_bytes(values: NDArray[Any]) -> Bytes:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _q8_0(values_BV: Floats) -> Bytes:
    scale_B1 = np.abs(values_BV).max(axis=1, keepdims=True) / np.float32(127)
    digits = _rounded(values_BV * _inverse(scale_B1)).astype(np.int8)
    return np.concatenate((_as_bytes(scale_B1.astype("<f2")), _as_bytes(digits)), axis=1)


def _q4_0(values_BV: Floats) -> Bytes:
    largest_B1 = np.take_along_axis(values_BV, np.abs(values_BV).argmax(axis=1)[:, None], axis=1)
    scale_B1 = largest_B1 / np.float32(-8)
    digits = np.minimum(np.trunc(values_BV * _inverse(scale_B1) + np.float32(8.5)), 15).astype(np.uint8)
    packed = digits[:, :16] | digits[:, 16:] << np.uint8(4)
    return np.concatenate((_as_bytes(scale_B1.astype("<f2")), packed), axis=1)


def _inverse(scale: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def _rounded(values: Floats) -> Floats:
    # Halves away from zero, as roundf does; np.round rounds them to even.
    return np.copysign(np.floor(np.abs(values) + np.float32(0.5)), values)


_QUANTISERS: dict[str, Callable[[Floats], Bytes]] = {
    "F32": lambda values: _as_bytes(values.astype("<f4")),
    "F16": lambda values: _as_bytes(values.astype("<f2")),
    "BF16": lambda values: _as_bytes(rounded_to_bf16(values)),
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
}
