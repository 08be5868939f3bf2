"""A matrix and a LoRA adapter's part -> one tensor, added up when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights.tensor import Source, StoredTensor, Tensor

# Of the product, in float64: 4 MiB.
_VALUES_AT_ONCE = 1 << 19


@dataclass(frozen=True, slots=True)
class MergedTensor:
    """base + scale * up @ down, never rounded to the base's dtype. `dtype` and `num_bytes` are those of the base.

    base: (outputs, inputs); up: B, (outputs, rank); down: A, (rank, inputs). scale_source: the file that states the
    scale. Source: LoRA, arXiv 2106.09685, section 4.
    """

    base: Tensor
    up: StoredTensor = field(repr=False)
    down: StoredTensor = field(repr=False)
    scale: float
    scale_source: Source = field(repr=False)

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def dtype(self) -> str:
        return self.base.dtype

    @property
    def num_bytes(self) -> int:
        return self.base.num_bytes

    @property
    def file(self) -> Path:
        """The base's file."""
        return self.base.file

    @property
    def is_float32(self) -> bool:
        """False: the sum is rounded when it is read."""
        return False

    @property
    def sources(self) -> tuple[Source, ...]:
        """The base's files and the adapter's, its configuration among them."""
        return (*self.base.sources, *dict.fromkeys((self.up.source, self.down.source)), self.scale_source)

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole sum as float32 or float64, like `Tensor.read`. It takes 8 MiB more, and the adapter's two matrices.

        Added in float64 and rounded once.
        """
        result = self.base.read(dtype, out)
        up, down = self.up.read(np.float64), self.down.read(np.float64) * self.scale
        at_once = max(1, _VALUES_AT_ONCE // self.shape[1])
        for start in range(0, self.shape[0], at_once):
            some = result[start : start + at_once]
            np.add(some, up[start : start + at_once] @ down, out=some, casting="same_kind")
        return result

    def content(self) -> Iterator[memoryview | bytes]:
        """Everything that its values depend on, except dtype and shape: base, adapter and scale."""
        yield from self.base.content()
        for part in (self.up, self.down):
            yield f"{part.dtype} {part.shape} {self.scale!r}".encode()
            yield from part.content()

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of the sum, like `Tensor.rows`."""
        result: NDArray[Any] = self.base.rows(ids, dtype)
        product = self.up.rows(ids, np.float64) @ (self.down.read(np.float64) * self.scale)
        np.add(result, product, out=result, casting="same_kind")
        return result

    def give_back_pages(self) -> None:
        """Let the base's pages no longer count as memory of this process."""
        self.base.give_back_pages()
