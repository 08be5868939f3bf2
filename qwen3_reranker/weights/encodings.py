"""How a file stores numbers: blocks of bytes -> float32. Plain types are blocks of one number.

Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/llama.cpp. Shapes: B blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoding:
    """`decode` turns blocks, (B, block_bytes) uint8, into their values, (B, block_values) float32."""

    name: str
    block_values: int
    block_bytes: int
    decode: Callable[[Bytes], Floats]

    @property
    def is_plain(self) -> bool:
        """Whether each number is stored by itself, as the kernels can read it."""
        return self.block_values == 1

    def num_bytes(self, values: int) -> int:
        """Bytes of that many values, which must be whole blocks."""
        return values // self.block_values * self.block_bytes


def _bf16(blocks: Bytes) -> Floats:
    # numpy knows no bfloat16: its bits are the upper half of a float32's.
    widened: NDArray[np.uint32] = np.left_shift(blocks.view("<u2"), 16, dtype=np.uint32)
    return widened.view(np.float32)


def rounded_to_bf16(values: Floats) -> NDArray[np.uint16]:
    """The bits of each value as the nearest bfloat16, ties to even. NaN stays NaN."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    rounded = np.where(np.isnan(values), bits >> np.uint32(16) | np.uint32(64), rounded)
    return rounded.astype("<u2")


def _half(blocks: Bytes, start: int) -> Floats:
    """The float16 at byte `start` of each block, (B, 1)."""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2").astype(np.float32)


def _signed(blocks: Bytes) -> NDArray[np.int8]:
    return np.ascontiguousarray(blocks).view(np.int8)


def _nibbles(packed: Bytes) -> Bytes:
    """(B, N) bytes -> (B, 2N) numbers below 16: all low halves, then all high ones."""
    return np.concatenate((packed & np.uint8(15), packed >> np.uint8(4)), axis=1)


def _q4_0(blocks: Bytes) -> Floats:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]).astype(np.float32) - 8)


def _q4_1(blocks: Bytes) -> Floats:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]) + _half(blocks, 2)


def _fifth_bits(blocks: Bytes, start: int) -> Bytes:
    """The 32 bits from byte `start` on, as 16 where one is set, (B, 32)."""
    return np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little") << np.uint8(4)


def _q5_0(blocks: Bytes) -> Floats:
    digits = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return _half(blocks, 0) * (digits.astype(np.float32) - 16)


def _q5_1(blocks: Bytes) -> Floats:
    digits = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)
    return _half(blocks, 0) * digits + _half(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return _half(blocks, 0) * _signed(blocks[:, 2:])


_IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)


def _iq4_nl(blocks: Bytes) -> Floats:
    return _half(blocks, 0) * _IQ4_LEVELS[_nibbles(blocks[:, 2:])]


def _iq4_xs(blocks: Bytes) -> Floats:
    high = np.ascontiguousarray(blocks[:, 2:4]).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    low = _shifted(blocks[:, 4:8, None], 4, 2).reshape(-1, 8)
    scales_B8 = (low | high.astype(np.uint8) << np.uint8(4)).astype(np.float32) - 32
    digits = blocks[:, 8:].reshape(-1, 16)
    values = _IQ4_LEVELS[_nibbles(digits)].reshape(-1, 8, 32)
    return _scaled(_half(blocks, 0) * scales_B8, values)


def _shifted(packed: Bytes, width: int, count: int) -> Bytes:
    """(B, G, N) bytes -> (B, G, count, N): the numbers of `width` bits in each, lowest first."""
    shifts = np.arange(0, width * count, width, dtype=np.uint8)[:, None]
    return packed[:, :, None, :] >> shifts & np.uint8((1 << width) - 1)


def _scaled(factor_BG: Floats, digits_BGN: NDArray[Any], offset_BG: Floats | None = None) -> Floats:
    """Each group of digits times its factor, less its offset: (B, G * N)."""
    values: Floats = factor_BG[:, :, None] * digits_BGN
    if offset_BG is not None:
        values -= offset_BG[:, :, None]
    return values.reshape(len(values), -1)


def _q2_k(blocks: Bytes) -> Floats:
    scales = blocks[:, :16]
    digits = _shifted(blocks[:, 16:80].reshape(-1, 2, 32), 2, 4).reshape(-1, 16, 16)
    factor_B16: Floats = _half(blocks, 80) * (scales & 15)
    offset_B16: Floats = _half(blocks, 82) * (scales >> 4)
    return _scaled(factor_B16, digits, offset_B16)


def _q3_k(blocks: Bytes) -> Floats:
    high = _shifted(blocks[:, None, :32], 1, 8).reshape(-1, 256)
    digits = _shifted(blocks[:, 32:96].reshape(-1, 2, 32), 2, 4).reshape(-1, 256)
    low_B16 = _nibbles(blocks[:, 96:104])
    high_B16 = _shifted(blocks[:, None, 104:108], 2, 4).reshape(-1, 16)
    factor_B16 = _half(blocks, 108) * ((low_B16 | high_B16 << 4).astype(np.float32) - 32)
    values = digits.astype(np.float32) - np.where(high, np.float32(0), np.float32(4))
    return _scaled(factor_B16, values.reshape(-1, 16, 16))


def _scales_and_offsets(blocks: Bytes) -> tuple[Floats, Floats]:
    """The eight scales and offsets, 6 bits each, of Q4_K and Q5_K, times the block's own: two (B, 8)."""
    first, second, last = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate((first & 63, last & 15 | first >> 6 << 4), axis=1)
    offsets = np.concatenate((second & 63, last >> 4 | second >> 6 << 4), axis=1)
    return _half(blocks, 0) * scales, _half(blocks, 2) * offsets


def _q4_k(blocks: Bytes) -> Floats:
    factor_B8, offset_B8 = _scales_and_offsets(blocks)
    digits = _shifted(blocks[:, 16:].reshape(-1, 4, 32), 4, 2).reshape(-1, 8, 32)
    return _scaled(factor_B8, digits, offset_B8)


def _q5_k(blocks: Bytes) -> Floats:
    factor_B8, offset_B8 = _scales_and_offsets(blocks)
    high = _shifted(blocks[:, None, 16:48], 1, 8).reshape(-1, 8, 32)
    digits = _shifted(blocks[:, 48:].reshape(-1, 4, 32), 4, 2).reshape(-1, 8, 32) | high << 4
    return _scaled(factor_B8, digits, offset_B8)


def _q6_k(blocks: Bytes) -> Floats:
    low = _shifted(blocks[:, :128].reshape(-1, 2, 64), 4, 2).reshape(-1, 2, 4, 32)
    high = _shifted(blocks[:, 128:192].reshape(-1, 2, 32), 2, 4)
    digits = (low | high << 4).astype(np.float32) - 32
    factor_B16 = _half(blocks, 208) * _signed(blocks[:, 192:208])
    return _scaled(factor_B16, digits.reshape(-1, 16, 16))


def _plain(dtype: str) -> Callable[[Bytes], Floats]:
    return lambda blocks: blocks.view(dtype).astype(np.float32)


def _quiet(decode: Callable[[Bytes], Floats]) -> Callable[[Bytes], Floats]:
    # The scale of a damaged block may be infinite; the head refuses what is not finite.
    def decoded(blocks: Bytes) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return decode(blocks)

    return decoded


PLAIN = ("BF16", "F16", "F32")
ENCODINGS: dict[str, Encoding] = {
    encoding.name: replace(encoding, decode=_quiet(encoding.decode))
    for encoding in (
        Encoding("F32", 1, 4, _plain("<f4")),
        Encoding("F16", 1, 2, _plain("<f2")),
        Encoding("BF16", 1, 2, _bf16),
        Encoding("Q4_0", 32, 18, _q4_0),
        Encoding("Q4_1", 32, 20, _q4_1),
        Encoding("Q5_0", 32, 22, _q5_0),
        Encoding("Q5_1", 32, 24, _q5_1),
        Encoding("Q8_0", 32, 34, _q8_0),
        Encoding("Q2_K", 256, 84, _q2_k),
        Encoding("Q3_K", 256, 110, _q3_k),
        Encoding("Q4_K", 256, 144, _q4_k),
        Encoding("Q5_K", 256, 176, _q5_k),
        Encoding("Q6_K", 256, 210, _q6_k),
        Encoding("IQ4_NL", 32, 18, _iq4_nl),
        Encoding("IQ4_XS", 256, 136, _iq4_xs),
    )
}
