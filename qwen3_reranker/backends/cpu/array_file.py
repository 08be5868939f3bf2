"""Arrays in one file that is mapped when it is read: written whole or not at all, and never believed without its sums.

The file is a .safetensors file (8-bit and float32 arrays); its last array holds a CRC-32 of each of the others.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import read_entries

Arrays = dict[str, NDArray[Any]]
# For each array its type, uint8 or float32, and its shape.
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]
Fill = Callable[[Arrays], None]

_SUMS = "crc32"
_TYPES = {"uint8": "U8", "float32": "F32", "uint32": "U32"}
_ALIGNMENT = 64


def write_arrays(path: Path, shapes: Shapes, fill: Fill) -> None:
    """Make the file: `fill` is given arrays of these shapes, in the file itself, to write into.

    Raises OSError where there is no room or no permission; the file is there when it is complete, or not at all.
    """
    every = {**shapes, _SUMS: ("uint32", (len(shapes),))}
    header, offsets, size = _header(every)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(prefix=path.stem, suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "r+b") as file:
            # Reserved now: a full disk must be an error here, not a fault in the middle of a mapped write.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            file.write(header)
            file.flush()
            data = np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))
            arrays = {
                name: data[offsets[name] :][: _num_bytes(*every[name])].view(every[name][0]).reshape(every[name][1])
                for name in every
            }
            fill({name: arrays[name] for name in shapes})
            arrays[_SUMS][:] = _sums([arrays[name] for name in shapes])
            data.flush()
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise


def read_arrays(path: Path, shapes: Shapes) -> Arrays:
    """The arrays, mapped read-only.

    Raises FileNotFoundError if there is no file, CheckpointError if it is cut, damaged, or holds anything else.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    entries = read_entries(path)
    every = {**shapes, _SUMS: ("uint32", (len(shapes),))}
    arrays = {}
    for name, (dtype, shape) in every.items():
        entry = entries.get(name)
        if entry is None or (entry.dtype, entry.shape) != (_TYPES[dtype], shape):
            raise CheckpointError(f"{path}: array {name!r}: expected {dtype} {shape}, got {entry}")
        count = math.prod(shape)
        arrays[name] = np.frombuffer(entry.source.mapped(), dtype, count, entry.offset).reshape(shape)
    sums = arrays.pop(_SUMS)
    for name, expected, got in zip(shapes, sums.tolist(), _sums(list(arrays.values())), strict=True):
        if expected != got:
            raise CheckpointError(f"{path}: array {name!r} is damaged: its sum is {got:08x}, not {expected:08x}")
    return arrays


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


def _umask() -> int:
    # There is no other way to ask; a temporary file is its owner's alone, and a model's folder may be shared.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _num_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _sums(arrays: list[NDArray[Any]]) -> list[int]:
    # zlib gives the interpreter lock back, so two threads read twice as fast.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda array: zlib.crc32(array.reshape(-1).view(np.uint8)), arrays))
