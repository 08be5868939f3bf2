"""The rows of yes and no -> a language-model head that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights import Tensor, names
from qwen3_reranker.weights.encodings import Floats


@dataclass(frozen=True, slots=True)
class ReplacedRowsTensor(Tensor):
    """A word matrix, (vocab_size, hidden_size), with the rows `ids` replaced; float32 holds every number."""

    words: Tensor = field(repr=False)
    ids: tuple[int, ...]
    rows_2D: Floats = field(repr=False)

    @classmethod
    def of(cls, words: Tensor, ids: tuple[int, ...], rows_2D: Floats) -> ReplacedRowsTensor:
        """The matrix under the name of a language-model head."""
        fields = (words.shape, words.dtype, words.source, words.offset, words.num_bytes)
        return cls(names.HEAD, *fields, words=words, ids=ids, rows_2D=rows_2D)

    @property
    def is_stored(self) -> bool:
        """False: no file holds this matrix."""
        return False

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
