"""A judge's rows of yes and of no -> the language-model head that holds them among its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights import Tensor, names
from qwen3_reranker.weights.encodings import Floats


@dataclass(frozen=True, slots=True)
class JudgesWords(Tensor):
    """A matrix of words, (vocab_size, hidden_size), in which the rows `ids` are others; float32 holds every number."""

    words: Tensor = field(repr=False)
    ids: tuple[int, ...]
    rows_2D: Floats = field(repr=False)

    @classmethod
    def of(cls, words: Tensor, ids: tuple[int, ...], rows_2D: Floats) -> JudgesWords:
        """The matrix under the name of a language-model head."""
        place = (words.shape, words.dtype, words.source, words.offset, words.num_bytes)
        return cls(names.HEAD, *place, words=words, ids=ids, rows_2D=rows_2D)

    @property
    def is_stored(self) -> bool:
        """False: no file holds the two rows among these words."""
        return False

    @property
    def is_float32(self) -> bool:
        """Whether float32 holds the words; it does hold the rows."""
        return self.words.is_float32

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids`, like `Tensor.rows`."""
        found: NDArray[Any] = self.words.rows(ids, dtype)
        for own, row_D in zip(self.ids, self.rows_2D, strict=True):
            found[np.asarray(ids) == own] = row_D
        return found
