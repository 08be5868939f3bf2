"""The rows of yes and no -> a language-model head that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights import Tensor, names
from qwen3_reranker.weights.computed_tensor import ComputedTensor
from qwen3_reranker.weights.encodings import Floats


@dataclass(frozen=True, slots=True)
class ReplacedRowsTensor(ComputedTensor):
    """A word matrix, (vocab_size, hidden_size), as a language-model head with the rows `ids` replaced."""

    words: Tensor = field(repr=False)
    ids: tuple[int, ...]
    rows_2D: Floats = field(repr=False)

    @classmethod
    def of(cls, words: Tensor, ids: tuple[int, ...], rows_2D: Floats) -> ReplacedRowsTensor:
        """The matrix under the name of a language-model head."""
        return cls(
            names.HEAD, words.shape, words.dtype, words.num_bytes, words.sources, words=words, ids=ids, rows_2D=rows_2D
        )

    @property
    def is_float32(self) -> bool:
        """Whether float32 holds the words; it always holds the replaced rows."""
        return self.words.is_float32

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids`, like `Tensor.rows`."""
        found: NDArray[Any] = self.words.rows(ids, dtype)
        for own, row_D in zip(self.ids, self.rows_2D, strict=True):
            found[np.asarray(ids) == own] = row_D
        return found
