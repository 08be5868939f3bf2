"""One 8-bit number a weight, and scales: published FP8, compressed-tensors W8A8.

Source: integrations/finegrained_fp8.py of transformers, compressors/naive_quantized of
https://github.com/vllm-project/compressed-tensors. What it says of activations is not read: they stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from qwen3_reranker.weights.encodings import PLAIN, Floats
from qwen3_reranker.weights.quantised.grid import Grid, beside, grid
from qwen3_reranker.weights.quantised.numbers import number_rows
from qwen3_reranker.weights.quantised.parts import Indices, Parts
from qwen3_reranker.weights.tensor import StoredTensor

SUFFIXES = ("weight", "weight_scale", "weight_scale_inv", "weight_zero_point")
_LABELS = {"F8_E4M3": "FP8", "F8_E5M2": "FP8 (E5M2)", "I8": "INT8"}


@dataclass(frozen=True, slots=True)
class Scaled:
    """weight = (number - zero) * scale; numbers: (outputs, I)."""

    numbers: StoredTensor
    scales: Grid
    zeros: Grid | None

    @property
    def dtype(self) -> str:
        """The type of the numbers."""
        return _LABELS[self.numbers.dtype]

    @property
    def recipe(self) -> str:
        """How many rows and inputs share a scale."""
        return f"{self.scales.height} x {self.scales.width}"

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Numbers, scales and, if they are stored, zeros."""
        return self.numbers, self.scales.numbers, *(() if self.zeros is None else (self.zeros.numbers,))

    def rows(self, indices: Indices) -> Floats:
        """Those rows, (R, I)."""
        inputs = self.numbers.shape[1]
        values: Floats = number_rows(self.numbers, indices)
        if self.zeros is not None:
            values -= self.zeros.rows(indices, inputs)
        values *= self.scales.rows(indices, inputs)
        return values


def scaled(parts: Parts, blocks: tuple[tuple[int, int], ...]) -> Scaled:
    """The decoder of a matrix of 8-bit numbers. Raises CheckpointError naming the part that is not as it must be."""
    numbers = parts.one("weight", tuple(_LABELS), parts.shape)
    # The same factor; "inverse" is that of what the weights were multiplied by when they were rounded.
    suffix = "weight_scale_inv" if parts.has("weight_scale_inv") else "weight_scale"
    scales = grid(parts, suffix, (*PLAIN, "F8_E8M0"), blocks)
    if not parts.has("weight_zero_point"):
        return Scaled(numbers, scales, None)
    return Scaled(numbers, scales, beside(parts, "weight_zero_point", (numbers.dtype,), scales))
