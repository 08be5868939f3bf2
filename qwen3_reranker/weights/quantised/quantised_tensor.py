"""A quantised matrix -> one tensor that is decoded when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.weights.encodings import Floats
from qwen3_reranker.weights.tensor import Source, StoredTensor, destination, readable, row_indices

# Decoding takes a few times their memory, some 3 MiB in all.
_VALUES_AT_ONCE = 1 << 18
_ROWS_AT_ONCE = 128


class Decoder(Protocol):
    """What the parts of one matrix mean. dtype: the name of the encoding, for people."""

    @property
    def dtype(self) -> str: ...

    @property
    def parts(self) -> tuple[StoredTensor, ...]:
        """Every tensor in the file that the values depend on."""

    @property
    def recipe(self) -> str:
        """What else they depend on: what the configuration says of the parts."""

    def rows(self, indices: NDArray[np.intp]) -> Floats:
        """Those rows of the matrix, (R, inputs); raises CheckpointError where the parts contradict one another."""


@dataclass(frozen=True, slots=True)
class QuantisedTensor:
    """A matrix whose file holds digits and scales. Values are float32, the exact product rounded once.

    config: the file that names the format.
    """

    name: str
    shape: tuple[int, ...]
    decoder: Decoder = field(repr=False)
    config: Source = field(repr=False)

    @property
    def dtype(self) -> str:
        """The name of the format."""
        return self.decoder.dtype

    @property
    def num_bytes(self) -> int:
        """What all its parts take on disk."""
        return sum(part.num_bytes for part in self.decoder.parts)

    @property
    def file(self) -> Path:
        """The file of its first part."""
        return self.decoder.parts[0].file

    @property
    def is_float32(self) -> bool:
        """True: what is decoded is float32."""
        return True

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files of all its parts, and the configuration."""
        return (*dict.fromkeys(part.source for part in self.decoder.parts), self.config)

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole matrix as float32 or float64, like `Tensor.read`; it takes some 3 MiB more."""
        result = destination(self, dtype, out)
        at_once = max(1, _VALUES_AT_ONCE // self.shape[1])
        for start in range(0, self.shape[0], at_once):
            result[start : start + at_once] = self._decoded(np.arange(start, min(start + at_once, self.shape[0])))
        self.give_back_pages()
        return result

    def content(self) -> Iterator[memoryview | bytes]:
        """Everything that its values depend on: every part, and how the parts are read."""
        yield self.decoder.recipe.encode()
        for part in self.decoder.parts:
            yield f"{part.dtype} {part.shape}".encode()
            yield from part.content()

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of the matrix, like `Tensor.rows`."""
        indices = row_indices(self, ids)
        result = np.empty((indices.size, self.shape[1]), readable(dtype))
        # In the order of the file, so that the rows of one step share pages.
        order = np.argsort(indices)
        for start in range(0, indices.size, _ROWS_AT_ONCE):
            places = order[start : start + _ROWS_AT_ONCE]
            result[places] = self._decoded(indices[places])
            self.give_back_pages()
        return result

    def give_back_pages(self) -> None:
        """Let the pages of all parts count as this process's memory no longer."""
        for part in self.decoder.parts:
            part.give_back_pages()

    def _decoded(self, indices: NDArray[np.intp]) -> Floats:
        # The scale of a damaged group may be infinite; the head refuses what is not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            return self.decoder.rows(indices)
