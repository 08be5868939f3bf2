"""The parts of a quantised matrix, checked. Their bytes, digits and scales, gathered by row or by column.

Shapes: R requested rows of the matrix, I inputs, G groups of inputs, P rows of a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.weights.encodings import ENCODINGS, Bytes, Floats
from qwen3_reranker.weights.safetensors import TensorEntry
from qwen3_reranker.weights.tensor import StoredTensor

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the file holds of the matrix `name`, of `shape`, in a format. `where` is the file if a part lacks."""

    name: str
    shape: tuple[int, int]
    entries: Mapping[str, TensorEntry]
    where: Path
    format_name: str

    def has(self, suffix: str) -> bool:
        """Whether there is such a part."""
        return self.called(suffix) in self.entries

    def called(self, suffix: str) -> str:
        """The part's name in the file."""
        return self.name.removesuffix("weight") + suffix

    def shape_of(self, suffix: str) -> tuple[int, ...]:
        """The stored shape of a part; raises CheckpointError where it is missing."""
        return self._entry(suffix).shape

    def dtype_of(self, suffix: str) -> str:
        """The stored dtype of a part; raises CheckpointError where it is missing."""
        return self._entry(suffix).dtype

    def one(self, suffix: str, dtypes: tuple[str, ...], *shapes: tuple[int, ...]) -> StoredTensor:
        """The part, if it has one of these dtypes and shapes. Raises CheckpointError naming file and tensor if not."""
        entry, name = self._entry(suffix), self.called(suffix)
        if entry.dtype not in dtypes:
            raise self.wrong(suffix, f"dtype must be {' or '.join(dtypes)}, got {shown(entry.dtype)}")
        if entry.shape not in shapes:
            expected = " or ".join(str(list(shape)) for shape in dict.fromkeys(shapes))
            raise self.wrong(suffix, f"expected shape {expected}, got {shown(list(entry.shape))}")
        return StoredTensor(name, entry.shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)

    def packed(self, suffix: str, dtype: str, by_bits: Mapping[int, tuple[int, int]]) -> tuple[StoredTensor, int]:
        """A part of digits, and their bits, which its shape says."""
        part = self.one(suffix, (dtype,), *by_bits.values())
        return part, next(bits for bits, shape in by_bits.items() if shape == part.shape)

    def groups(self, suffix: str, axis: int, even: bool = True) -> int:
        """How many groups of inputs the part at `axis` is for, a whole number of inputs each if `even`."""
        stored, inputs = self.shape_of(suffix), self.shape[1]
        count = stored[axis] if len(stored) == 2 else 0
        if not 0 < count <= inputs or (even and inputs % count):
            raise self.wrong(suffix, f"expected groups that divide {inputs:,} inputs, got shape {shown(list(stored))}")
        return count

    def maybe(self, suffix: str, dtypes: tuple[str, ...], *shapes: tuple[int, ...]) -> StoredTensor | None:
        """The same for a part that a matrix may lack."""
        return self.one(suffix, dtypes, *shapes) if self.has(suffix) else None

    def wrong(self, suffix: str, problem: str) -> CheckpointError:
        """An error about one part."""
        return CheckpointError(
            f"{self._entry(suffix).source.path}: tensor {self.called(suffix)!r}: {problem}, as {self.format_name} "
            f"stores a matrix of {list(self.shape)}; configuration and weights are not of one model, or damaged"
        )

    def _entry(self, suffix: str) -> TensorEntry:
        entry = self.entries.get(self.called(suffix))
        if entry is None:
            raise CheckpointError(
                f"{self.where}: tensor {self.called(suffix)!r} is missing, which belongs to a matrix in "
                f"{self.format_name}; the checkpoint is incomplete, fetch it again"
            )
        return entry


def words(count: int, bits: int) -> int:
    """How many words of 32 bits so many digits take. The last one may hold fewer than it could."""
    return -(-count * bits // 32)


def rows_of(part: StoredTensor, indices: Indices) -> Bytes:
    """The bytes of those rows, (R, bytes of a row)."""
    return part.stored().reshape(part.shape[0], -1).take(indices, axis=0)


def columns_of(part: StoredTensor, indices: Indices) -> Bytes:
    """The bytes of those columns, (R, P, bytes of a number)."""
    rows, columns = part.shape
    taken = part.stored().reshape(rows, columns, -1)[:, indices]
    return np.ascontiguousarray(taken.transpose(1, 0, 2))


def float_columns(part: StoredTensor, indices: Indices) -> Floats:
    """Those columns of a part of plain numbers, (R, P)."""
    taken = columns_of(part, indices)
    return ENCODINGS[part.dtype].decode(taken.reshape(-1, taken.shape[2])).reshape(taken.shape[:2])


def digits_in_rows(packed: Bytes, bits: int) -> Bytes:
    """(R, N) bytes -> the digits in them, lowest bits first: (R, 8 N / bits), each below 2**bits."""
    if bits == 8:
        return packed
    return np.stack((packed & np.uint8(15), packed >> np.uint8(4)), axis=2).reshape(len(packed), -1)


def digits_of_columns(part: StoredTensor, places: Indices, bits: int) -> Bytes:
    """Digits that are packed along the columns of a part, those at `places`: (R, P)."""
    packed = part.stored().reshape(part.shape[0], -1)
    taken = np.ascontiguousarray(packed[:, places * bits // 8].T)
    if bits == 8:
        return taken
    return taken >> (np.uint8(4) * (places % 2).astype(np.uint8))[:, None] & np.uint8(15)


def input_groups(part: StoredTensor, num_groups: int) -> NDArray[np.int32]:
    """Each input's group, (I,); raises CheckpointError for a group that there is none of."""
    groups = np.array(part.stored()).view("<i4")
    if groups.min() < 0 or groups.max() >= num_groups:
        wrong = groups.min() if groups.min() < 0 else groups.max()
        raise CheckpointError(
            f"{part.file}: tensor {part.name!r}: groups must lie in 0..{num_groups - 1}, got {wrong}; it is damaged"
        )
    return groups


def spread(values_RG: NDArray[Any], inputs: int, groups: NDArray[np.integer[Any]] | None = None) -> NDArray[Any]:
    """What is said of each group, said of each of its inputs: (R, I). Inputs are in order where none is named."""
    if groups is None:
        return np.repeat(values_RG, inputs // values_RG.shape[1], axis=1)
    return values_RG[:, groups]
