"""MLX's affine mode in 4 or 8 bits: packed digits, a scale and a bias a group.

Source: affine_dequantize in mlx/ops.cpp of https://github.com/ml-explore/mlx.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.weights.encodings import PLAIN, Floats
from qwen3_reranker.weights.quantised.parts import Indices, Parts, digits_in_rows, rows_of, spread, words
from qwen3_reranker.weights.tensor import StoredTensor

SUFFIXES = ("weight", "scales", "biases")


@dataclass(frozen=True, slots=True)
class Mlx:
    """weight = digit * scale + bias.

    digits: (outputs, I * bits / 32) words, rounded up; scales and biases: (outputs, G).
    """

    digits: StoredTensor
    scales: StoredTensor
    biases: StoredTensor
    bits: int
    inputs: int

    recipe = "affine"

    @property
    def dtype(self) -> str:
        """MLX and its bits."""
        return f"MLX {self.bits}-bit"

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Digits, scales, biases."""
        return self.digits, self.scales, self.biases

    def rows(self, indices: Indices) -> Floats:
        """Those rows, (R, I)."""
        digits = digits_in_rows(rows_of(self.digits, indices), self.bits)[:, : self.inputs]
        values: Floats = digits.astype(np.float32)
        values *= spread(self.scales.rows(indices), self.inputs)
        values += spread(self.biases.rows(indices), self.inputs)
        return values


def mlx(parts: Parts) -> Mlx:
    """The decoder of a matrix in MLX's affine mode. Raises CheckpointError naming the part that is not right."""
    outputs, inputs = parts.shape
    digits, bits = parts.packed("weight", "U32", {bits: (outputs, words(inputs, bits)) for bits in (4, 8)})
    groups = parts.groups("scales", 1)
    shape = (outputs, groups)
    return Mlx(digits, parts.one("scales", PLAIN, shape), parts.one("biases", PLAIN, shape), bits, inputs)
