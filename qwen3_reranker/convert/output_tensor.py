"""A tensor to write: name, encoding, shape, and its bytes chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.convert.quantise import quantise
from qwen3_reranker.errors import InputError
from qwen3_reranker.weights import StoredTensor, Tensor
from qwen3_reranker.weights.encodings import ENCODINGS, Bytes, Floats

_VALUES_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor in memory or on disk that is written as `encoding` under `name`."""

    name: str
    encoding: str
    values: Tensor | Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first, as in numpy."""
        return self.values.shape

    @property
    def num_bytes(self) -> int:
        """Size in the file, in bytes. Raises InputError if rows are not whole blocks of the encoding."""
        encoding = ENCODINGS[self.encoding]
        if self.shape[-1] % encoding.block_values:
            raise InputError(
                f"{self.name}: rows of {self.shape[-1]} numbers are not whole blocks of {encoding.block_values}, as "
                f"{self.encoding} wants them; convert without --quantize, or to bf16 or f16"
            )
        return encoding.num_bytes(int(np.prod(self.shape)))

    def chunks(self) -> Iterator[memoryview | bytes]:
        """The bytes in order; a tensor stored in the same encoding is copied unchanged."""
        if isinstance(self.values, StoredTensor) and self.values.dtype == self.encoding:
            yield from self.values.content()
            return
        for values in _value_chunks(self.values):
            chunk: Bytes = quantise(values, self.encoding)
            yield chunk.data


def _value_chunks(values: Tensor | Floats) -> Iterator[Floats]:
    if isinstance(values, np.ndarray):
        yield values
    elif len(values.shape) == 1:
        yield values.read()
    else:
        rows, columns = values.shape
        step = max(1, _VALUES_AT_ONCE // columns)
        for start in range(0, rows, step):
            yield values.rows(np.arange(start, min(rows, start + step)))
