"""GPTQ in 4 or 8 bits: inputs in words, outputs in columns, grouped inputs.

Source: auto_gptq/nn_modules/qlinear/qlinear_cuda.py of https://github.com/AutoGPTQ/AutoGPTQ. Its first format ("gptq")
stores each zero less one, wrapped to its bits; "gptq_v2" of GPTQModel stores the zero itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.weights.encodings import PLAIN, Floats
from qwen3_reranker.weights.quantised.parts import (
    Indices,
    Parts,
    columns_of,
    digits_in_rows,
    digits_of_columns,
    float_columns,
    input_groups,
    spread,
    words,
)
from qwen3_reranker.weights.tensor import StoredTensor

SUFFIXES = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True, slots=True)
class Gptq:
    """weight = (digit - zero) * scale, with zero and scale of the input's group.

    digits: (I * bits / 32, outputs) words; zeros: (G, outputs * bits / 32) words; both are rounded up; scales:
    (G, outputs); groups: (I,), or None where inputs are grouped in order.
    """

    digits: StoredTensor
    zeros: StoredTensor
    scales: StoredTensor
    groups: StoredTensor | None
    bits: int
    zero_offset: int
    inputs: int

    @property
    def dtype(self) -> str:
        """GPTQ and its bits."""
        return f"GPTQ {self.bits}-bit"

    @property
    def recipe(self) -> str:
        """What is added to a stored zero."""
        return f"zeros + {self.zero_offset}"

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Digits, zeros, scales and, if they are stored, groups."""
        return self.digits, self.zeros, self.scales, *(() if self.groups is None else (self.groups,))

    def rows(self, indices: Indices) -> Floats:
        """Those rows, (R, I)."""
        packed = columns_of(self.digits, indices).reshape(len(indices), -1)
        values: Floats = digits_in_rows(packed, self.bits)[:, : self.inputs].astype(np.float32)
        stored = digits_of_columns(self.zeros, indices, self.bits)
        zeros = stored + np.uint8(self.zero_offset) & np.uint8(2**self.bits - 1)
        groups = None if self.groups is None else input_groups(self.groups, self.scales.shape[0])
        values -= spread(zeros, self.inputs, groups)
        values *= spread(float_columns(self.scales, indices), self.inputs, groups)
        return values


def gptq(parts: Parts, zero_offset: int) -> Gptq:
    """The decoder of a matrix in GPTQ. Raises CheckpointError naming the part that is not as it must be."""
    outputs, inputs = parts.shape
    by_bits = {bits: (words(inputs, bits), outputs) for bits in (4, 8)}
    digits, bits = parts.packed("qweight", "I32", by_bits)
    groups = parts.maybe("g_idx", ("I32",), (inputs,))
    num_groups = parts.groups("scales", 0, even=groups is None)
    return Gptq(
        digits,
        parts.one("qzeros", ("I32",), (num_groups, words(outputs, bits))),
        parts.one("scales", PLAIN, (num_groups, outputs)),
        groups,
        bits,
        zero_offset,
        inputs,
    )
