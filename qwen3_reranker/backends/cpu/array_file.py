"""Arrays in one file that is mapped when it is read, written whole or not at all, with a checksum of each array.

The file is a .safetensors file (8-bit and float32 arrays); its last array holds a CRC-32 of each of the others.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import stat
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights.replaced_file import PARTIAL, replacing

Arrays = dict[str, NDArray[Any]]
# For each array its type, uint8 or float32, and its shape.
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
Fill = Callable[[Arrays], None]


_CHECKSUMS = "crc32"
_TYPES = {"uint8": "U8", "float32": "F32", "uint32": "U32"}
_ALIGNMENT = 64
_ZEROS = bytes(1 << 20)
# A partial file that has not changed for so long was left by a process that was killed.
_ABANDONED_SECONDS = 24 * 3600


def write_arrays(path: Path, shapes: Shapes, fill: Fill) -> None:
    """Make the file: `fill` writes into arrays of these shapes, which are the file itself and all zeros.

    Raises OSError where there is no space or no permission; the file is there when it is complete, or not at all.
    """
    every = {**shapes, _CHECKSUMS: ("uint32", (len(shapes),))}
    header, offsets, size = _header(every)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    with replacing(path) as partial, _created(partial) as file:
        _reserve(file, size)
        file.seek(0)
        file.write(header)
        # Not closed here: an array of it that is still referenced would make that an error.
        mapped = mmap.mmap(file.fileno(), size)
        _fill(np.frombuffer(mapped, np.uint8), every, offsets, fill)
        mapped.flush()


def read_arrays(path: Path, shapes: Shapes) -> Arrays:
    """The arrays, mapped read-only; they stay readable when the file is deleted or replaced.

    Raises FileNotFoundError or NotADirectoryError if there is no file, CheckpointError if it cannot be read, is cut,
    damaged, or holds anything else.
    """
    every = {**shapes, _CHECKSUMS: ("uint32", (len(shapes),))}
    header, offsets, size = _header(every)
    mapped = _mapped(path, size)
    # Equal shapes give equal headers, so nothing of what the file says about itself needs to be believed.
    if mapped[: len(header)] != header:
        raise CheckpointError(f"{path}: its header is not that of the arrays expected, or is damaged")
    arrays = {
        name: np.frombuffer(mapped, dtype, math.prod(shape), offsets[name]).reshape(shape)
        for name, (dtype, shape) in every.items()
    }
    checksums = arrays.pop(_CHECKSUMS)
    for name, expected, got in zip(shapes, checksums.tolist(), _checksums(list(arrays.values())), strict=True):
        if expected != got:
            raise CheckpointError(f"{path}: array {name!r} is damaged: its sum is {got:08x}, not {expected:08x}")
    return arrays


def remove_abandoned(folder: Path) -> None:
    """Delete files in the folder that killed processes left half written."""
    with suppress(OSError):
        for partial in folder.glob(f"*{PARTIAL}"):
            with suppress(OSError):
                if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
                    partial.unlink()


def _created(path: Path) -> FileIO:
    # Readable as the umask says, unlike a temporary file: a model's folder may be shared.
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "r+")


def _reserve(file: FileIO, size: int) -> None:
    # A full disk must be an error here, not a fault in the middle of a mapped write.
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    left = size
    while left:
        left -= file.write(_ZEROS[:left])


def _fill(data: NDArray[np.uint8], every: Shapes, offsets: Mapping[str, int], fill: Fill) -> None:
    arrays = {
        name: data[offsets[name] :][: _num_bytes(dtype, shape)].view(dtype).reshape(shape)
        for name, (dtype, shape) in every.items()
    }
    checksums = arrays.pop(_CHECKSUMS)
    fill(arrays)
    checksums[:] = _checksums(list(arrays.values()))


def _mapped(path: Path, size: int) -> mmap.mmap:
    try:
        # Opening a pipe without a writer would wait for ever.
        with FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{path}: cannot be read (not a regular file)")
            if status.st_size != size:
                raise CheckpointError(f"{path}: expected {size:,} bytes, got {status.st_size:,}")
            return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def _header(shapes: Shapes) -> tuple[bytes, dict[str, int], int]:
    """The header as it is written, where each array begins in the file, and the file's size."""
    fields: dict[str, Any] = {}
    end = 0
    for name, (dtype, shape) in shapes.items():
        begin, end = end, end + _num_bytes(dtype, shape)
        fields[name] = {"dtype": _TYPES[dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(fields).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    start = len(text) + 8
    offsets = {name: start + field["data_offsets"][0] for name, field in fields.items()}
    return len(text).to_bytes(8, "little") + text, offsets, start + end


def _num_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _checksums(arrays: list[NDArray[Any]]) -> list[int]:
    # zlib gives the interpreter lock back, so two threads read twice as fast.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda array: zlib.crc32(array.reshape(-1).view(np.uint8)), arrays))
