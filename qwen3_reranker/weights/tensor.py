"""A tensor of a checkpoint, read whole through a small buffer, or row by row."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights.encodings import ENCODINGS, Encoding

# Decoding them takes a few times their own memory, about a MiB in all.
_VALUES_AT_ONCE = 1 << 16
_ROWS_AT_ONCE = 128
_BYTES_AT_ONCE = 8 << 20


@dataclass(slots=True, eq=False)
class Source:
    """A file as it was when its header was read. Every later look checks that it is still that file."""

    path: Path
    size: int
    modified_ns: int
    _map: mmap.mmap | None = field(default=None, repr=False)

    @classmethod
    def of(cls, path: Path) -> Source:
        """The file at `path`; raises CheckpointError if there is none or it cannot be read."""
        try:
            # Opening a pipe without a writer would wait for ever.
            if not path.is_file():
                raise CheckpointError(f"{path}: cannot be read (missing, or not a regular file)")
            with FileIO(path) as file:
                status = os.fstat(file.fileno())
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
        return cls(path, status.st_size, status.st_mtime_ns)

    def opened(self) -> FileIO:
        """The file, unbuffered; raises CheckpointError if it is gone or has changed."""
        try:
            file = FileIO(self.path)
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be read any more ({error.strerror})") from None
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified_ns):
            file.close()
            raise CheckpointError(f"{self.path}: changed since the checkpoint was opened; open the checkpoint again")
        return file

    def mapped(self) -> mmap.mmap:
        """The file's bytes, mapped once and kept; raises CheckpointError if the file has shrunk."""
        if self._map is None:
            with self.opened() as file:
                try:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                except OSError as error:
                    raise CheckpointError(f"{self.path}: cannot be mapped into memory ({error.strerror})") from None
        # Touching a page after the end of a file kills the process, so its length is checked every time.
        if self._map.size() != self.size:
            raise CheckpointError(f"{self.path}: changed since the checkpoint was opened; open the checkpoint again")
        return self._map


class Tensor(Protocol):
    """A vector or a matrix of a checkpoint. Its numbers are read or computed when they are needed.

    dtype: the encoding of what is stored, or a name for it. num_bytes: what that takes on disk.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def num_bytes(self) -> int: ...

    @property
    def file(self) -> Path:
        """The file to name in errors."""
        ...

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file that its values come from."""
        ...

    @property
    def is_float32(self) -> bool:
        """Whether float32 holds each of its values exactly."""
        ...

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole tensor as float32 or float64, into `out` if given.

        Raises CheckpointError if a file was cut or changed, InputError for another dtype or an `out` that is not a
        C-contiguous array of this shape and dtype.
        """
        ...

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of a matrix, (num_ids, columns) in the order given, without the others.

        Raises InputError for an id that is not a row, CheckpointError if a file was cut or changed.
        """
        ...

    def content(self) -> Iterator[memoryview | bytes]:
        """Everything that its values depend on but dtype and shape, in chunks. A chunk is valid until the next."""
        ...

    def give_back_pages(self) -> None:
        """Let mapped pages no longer count as memory of this process. They come back when they are read."""
        ...


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that a file stores: `num_bytes` bytes from byte `offset`; `dtype` names an encoding."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    source: Source = field(repr=False)
    offset: int = field(repr=False)
    num_bytes: int

    @property
    def file(self) -> Path:
        """The file that holds the tensor."""
        return self.source.path

    @property
    def encoding(self) -> Encoding:
        """How those bytes hold its numbers."""
        return ENCODINGS[self.dtype]

    @property
    def is_float32(self) -> bool:
        """True: no encoding holds more than float32."""
        return True

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file."""
        return (self.source,)

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole tensor as float32 or float64, into `out` if given. It takes one MiB more than the result.

        Every stored value is represented exactly. Raises CheckpointError if the file was cut or changed, InputError
        for another dtype or an `out` that is not a C-contiguous array of this shape and dtype.
        """
        result = destination(self, dtype, out)
        flat = result.reshape(-1)
        encoding = self.encoding
        with self.source.opened() as file:
            file.seek(self.offset)
            if self.dtype == "F32" and result.dtype == np.float32:
                self._fill(file, flat)
                return result
            num_blocks = self.num_bytes // encoding.block_bytes
            at_once = min(num_blocks, _VALUES_AT_ONCE // encoding.block_values)
            buffer = np.empty((at_once, encoding.block_bytes), np.uint8)
            for start in range(0, num_blocks, max(1, at_once)):
                blocks = buffer[: num_blocks - start]
                self._fill(file, blocks)
                begin = start * encoding.block_values
                values = encoding.decode(blocks).reshape(-1)
                flat[begin : begin + values.size] = values
        return result

    def stored(self) -> NDArray[np.uint8]:
        """The tensor's bytes as the file holds them, (num_bytes,), read-only. They stay there and are paged in.

        Valid while the file keeps its length, which `source.mapped()` checks. Raises CheckpointError if it has changed.
        """
        return np.frombuffer(self.source.mapped(), np.uint8, self.num_bytes, self.offset)

    def content(self) -> Iterator[memoryview | bytes]:
        """The stored bytes in chunks; raises CheckpointError if the file has changed."""
        stored = self.stored()
        for start in range(0, len(stored), _BYTES_AT_ONCE):
            yield stored[start : start + _BYTES_AT_ONCE].data
            # Word vectors alone may be more than memory holds.
            self.give_back_pages()

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids` of a matrix, (num_ids, columns) in the order given, without reading the others.

        Raises InputError for an id that is not a row, CheckpointError if the file was cut or changed.
        """
        indices = row_indices(self, ids)
        result = np.empty((indices.size, self.shape[1]), readable(dtype))
        row_bytes = self._row_bytes()
        # In the order of the file, so that the rows of one step, and repeated ones, share pages.
        order = np.argsort(indices)
        for start in range(0, indices.size, _ROWS_AT_ONCE):
            places = order[start : start + _ROWS_AT_ONCE]
            blocks = row_bytes.take(indices[places], axis=0).reshape(-1, self.encoding.block_bytes)
            result[places] = self.encoding.decode(blocks).reshape(places.size, -1)
            self.give_back_pages()
        return result

    def give_back_pages(self) -> None:
        """Let the tensor's mapped pages count as this process's memory no longer. They come back when they are read."""
        # The kernel maps the neighbours of each touched page too, so a thousand scattered rows would make the whole
        # matrix count as this process's memory. The pages stay in the page cache: mapping them again is cheap.
        if hasattr(mmap, "MADV_DONTNEED"):
            begin = self.offset - self.offset % mmap.PAGESIZE
            self.source.mapped().madvise(mmap.MADV_DONTNEED, begin, self.offset + self.num_bytes - begin)

    def _fill(self, file: FileIO, values: NDArray[Any]) -> None:
        view = values.data.cast("B")
        filled = 0
        while filled < len(view):
            try:
                count = file.readinto(view[filled:])
            except OSError as error:
                raise CheckpointError(f"{self.file}: tensor {self.name!r}: cannot be read ({error.strerror})") from None
            if not count:
                raise CheckpointError(f"{self.file}: tensor {self.name!r}: truncated while it was read; fetch it again")
            filled += count

    def _row_bytes(self) -> NDArray[np.uint8]:
        # As bytes, because a tensor may begin at an odd one, and numpy copies an unaligned matrix whole to take rows.
        assert len(self.shape) == 2, f"{self.name} has no rows: its shape is {self.shape}"
        return self.stored().reshape(self.shape[0], -1)


def is_plain(tensor: Tensor) -> TypeGuard[StoredTensor]:
    """Whether a file stores the tensor's numbers one by one, as kernels can read them."""
    return isinstance(tensor, StoredTensor) and tensor.encoding.is_plain


def destination(tensor: Tensor, dtype: DTypeLike, out: NDArray[Any] | None) -> NDArray[Any]:
    """The array to read a tensor into: `out`, or a new one. Raises InputError for one that does not fit."""
    wanted = readable(dtype)
    if out is None:
        return np.empty(tensor.shape, wanted)
    if out.shape != tensor.shape or out.dtype != wanted or not out.flags.c_contiguous or not out.flags.writeable:
        raise InputError(
            f"tensor {tensor.name!r}: out must be a writable C-contiguous {wanted} array of shape {tensor.shape}, "
            f"got {out.dtype} {out.shape}"
        )
    return out


def row_indices(tensor: Tensor, ids: ArrayLike) -> NDArray[np.intp]:
    """The ids of rows as an array. Raises InputError unless each is a row of the tensor."""
    indices = np.asarray(ids)
    if indices.size == 0:
        return np.empty(0, np.intp)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(f"rows of {tensor.name!r}: ids must be a list of whole numbers, got {indices.dtype}")
    lowest, highest = int(indices.min()), int(indices.max())
    if lowest < 0 or highest >= tensor.shape[0]:
        wrong = lowest if lowest < 0 else highest
        raise InputError(
            f"rows of {tensor.name!r}: ids must lie in 0..{tensor.shape[0] - 1}, got {wrong}; another tokenizer's?"
        )
    return indices.astype(np.intp, copy=False)


def readable(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype, if tensors are read in it; raises InputError if not."""
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise InputError(f"tensors are read as float32 or float64, got {wanted}")
    return wanted
