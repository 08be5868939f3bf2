"""AWQ in its gemm version: 4 bits, inputs in rows, eight outputs a word.

Source: awq/modules/linear/gemm.py and awq/utils/packing_utils.py of https://github.com/casper-hansen/AutoAWQ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.weights.encodings import PLAIN, Floats
from qwen3_reranker.weights.quantised.parts import Indices, Parts, digits_of_columns, float_columns, spread, words
from qwen3_reranker.weights.tensor import StoredTensor

SUFFIXES = ("qweight", "qzeros", "scales")
_BITS, _A_WORD = 4, 8
# The position of each output's digit in its word: word = 8 outputs in the order 0, 2, 4, 6, 1, 3, 5, 7.
_PLACES = np.array([0, 4, 1, 5, 2, 6, 3, 7])


@dataclass(frozen=True, slots=True)
class Awq:
    """weight = (digit - zero) * scale, with zero and scale of a group of inputs.

    digits: (I, outputs / 8) words; zeros: (G, outputs / 8) words; scales: (G, outputs).
    """

    digits: StoredTensor
    zeros: StoredTensor
    scales: StoredTensor

    dtype = "AWQ 4-bit"
    recipe = "gemm"

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Digits, zeros, scales."""
        return self.digits, self.zeros, self.scales

    def rows(self, indices: Indices) -> Floats:
        """Those rows, (R, I)."""
        places = indices // _A_WORD * _A_WORD + _PLACES[indices % _A_WORD]
        inputs = self.digits.shape[0]
        values: Floats = digits_of_columns(self.digits, places, _BITS).astype(np.float32)
        values -= spread(digits_of_columns(self.zeros, places, _BITS), inputs)
        values *= spread(float_columns(self.scales, indices), inputs)
        return values


def awq(parts: Parts) -> Awq:
    """The decoder of a matrix in AWQ. Raises CheckpointError naming the part that is not as it must be."""
    outputs, inputs = parts.shape
    groups = parts.groups("scales", 0)
    return Awq(
        parts.one("qweight", ("I32",), (inputs, words(outputs, _BITS))),
        parts.one("qzeros", ("I32",), (groups, words(outputs, _BITS))),
        parts.one("scales", PLAIN, (groups, outputs)),
    )
