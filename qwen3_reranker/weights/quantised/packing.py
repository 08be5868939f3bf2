"""compressed-tensors pack-quantized (W4A16, W8A16): digits packed along a row, scales of groups, perhaps zeros.

Source: compressors/pack_quantized of https://github.com/vllm-project/compressed-tensors. Digits are stored with half
their range added, and so are zeros where they are packed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.weights.encodings import PLAIN, Floats
from qwen3_reranker.weights.quantised.grid import Grid, beside, grid
from qwen3_reranker.weights.quantised.parts import (
    Indices,
    Parts,
    digits_in_rows,
    input_groups,
    rows_of,
    spread,
    words,
)
from qwen3_reranker.weights.tensor import StoredTensor

SUFFIXES = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx")


@dataclass(frozen=True, slots=True)
class PackQuantized:
    """weight = (digit - zero) * scale.

    digits: (outputs, I * bits / 32) words, rounded up; scales: one for the matrix, a row, or a group of it; zeros: of
    the same places, (outputs * bits / 32, G) words, rounded up, or int8, or None for zeros of 0; groups: each input's,
    (I,), or None where inputs are grouped in order.
    """

    digits: StoredTensor
    scales: Grid
    zeros: StoredTensor | Grid | None
    groups: StoredTensor | None
    bits: int
    inputs: int

    recipe = "pack-quantized"

    @property
    def dtype(self) -> str:
        """The library and the bits."""
        return f"compressed-tensors {self.bits}-bit"

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Digits, scales and what else is stored."""
        zeros = self.zeros.numbers if isinstance(self.zeros, Grid) else self.zeros
        return self.digits, self.scales.numbers, *(part for part in (zeros, self.groups) if part is not None)

    def rows(self, indices: Indices) -> Floats:
        """Those rows, (R, I)."""
        digits = digits_in_rows(rows_of(self.digits, indices), self.bits)[:, : self.inputs]
        values: Floats = digits.astype(np.float32) - self._half
        groups = self._groups()
        if isinstance(self.zeros, Grid):
            values -= self.zeros.rows(indices, self.inputs, groups)
        elif self.zeros is not None:
            values -= spread(self._packed_zeros(self.zeros, indices), self.inputs, groups)
        values *= self.scales.rows(indices, self.inputs, groups)
        return values

    @property
    def _half(self) -> np.float32:
        return np.float32(1 << self.bits - 1)

    def _packed_zeros(self, zeros: StoredTensor, indices: Indices) -> Floats:
        """The zeros of those rows, (R, G), of which 32 / bits rows share a word."""
        a_word = 32 // self.bits
        words = rows_of(zeros, indices // a_word).view("<u4")
        shifts = (indices % a_word * self.bits).astype(np.uint32)[:, None]
        digits = words >> shifts & np.uint32((1 << self.bits) - 1)
        return digits.astype(np.float32) - self._half

    def _groups(self) -> NDArray[np.integer[Any]] | None:
        # What the library did not reorder holds -1.
        if self.groups is None or (np.array(self.groups.stored()).view("<i4") == -1).any():
            return None
        return input_groups(self.groups, self.scales.numbers.shape[1])


def packed(parts: Parts) -> PackQuantized:
    """The decoder of a packed matrix. Raises CheckpointError naming the part that is not as it must be."""
    outputs, inputs = parts.shape
    by_bits = {bits: (outputs, words(inputs, bits)) for bits in (4, 8)}
    digits, bits = parts.packed("weight_packed", "I32", by_bits)
    scales = grid(parts, "weight_scale", PLAIN)
    groups = parts.maybe("weight_g_idx", ("I32",), (inputs,))
    return PackQuantized(digits, scales, _zeros(parts, bits, scales), groups, bits, inputs)


def _zeros(parts: Parts, bits: int, scales: Grid) -> StoredTensor | Grid | None:
    if not parts.has("weight_zero_point"):
        return None
    # Packed where there is one a row or more; earlier releases packed none.
    if scales.height > 1 or parts.dtype_of("weight_zero_point") == "I8":
        return beside(parts, "weight_zero_point", ("I8",), scales)
    rows, columns = scales.numbers.shape
    return parts.one("weight_zero_point", ("I32",), (words(rows, bits), columns))
