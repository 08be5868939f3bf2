"""A tensor that no file stores: computed from other tensors, or in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights.tensor import Source

_ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class ComputedTensor(ABC):
    """What such tensors have in common; `rows` is theirs. dtype and num_bytes describe the tensor that it replaces.

    sources: every file that its values come from, the first one for errors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    num_bytes: int
    sources: tuple[Source, ...] = field(repr=False)

    @property
    def file(self) -> Path:
        """The file to name in errors."""
        return self.sources[0].path

    @property
    def is_float32(self) -> bool:
        """Whether float32 holds each of its values exactly. False where they are rounded when they are read."""
        return False

    @abstractmethod
    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of a matrix, (num_ids, columns)."""

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole tensor; into `out` if given."""
        values = self.rows(np.arange(self.shape[0]), dtype)
        if out is None:
            return values
        out[...] = values
        return out

    def content(self) -> Iterator[memoryview | bytes]:
        """The values in float32."""
        for start in range(0, self.shape[0], _ROWS_AT_ONCE):
            yield self.rows(np.arange(start, min(start + _ROWS_AT_ONCE, self.shape[0]))).tobytes()

    def give_back_pages(self) -> None:  # noqa: B027 - nothing to give back, whatever computes the rows
        """Do nothing: no pages are mapped."""
