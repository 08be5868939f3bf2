"""A .safetensors file -> its table of tensors, every bound checked before data.

Layout: eight bytes hold the header's length (little-endian); the header is a JSON object of
name -> {dtype, shape, data_offsets [begin, end)}; the data follows, without holes, and ends with the file.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import parse_object, shown
from qwen3_reranker.placeholders import NUM_BYTES, placeholder
from qwen3_reranker.weights.tensor import Source

MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation
_LENGTH_BYTES = 8
_MAX_DIMENSIONS = 64

# A tensor of a type that is not here (F4, and what comes later) may be in the file; its byte count goes unchecked.
_BYTES_PER_VALUE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor's line in the header; `offset` counts bytes from the beginning of the file."""

    source: Source
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


def read_entries(path: Path) -> dict[str, TensorEntry]:
    """Every tensor of the file by name, in the order of its data. Raises CheckpointError naming file and tensor."""
    source = Source.of(path)
    header = _header(source)
    data_start = _LENGTH_BYTES + len(header)
    fields = parse_object(header, f"{path}: header")
    fields.pop("__metadata__", None)
    entries = {name: _entry(source, name, field, data_start) for name, field in fields.items()}
    ordered = sorted(entries.items(), key=lambda item: (item[1].offset, item[1].num_bytes))
    _check_data(source, ordered, data_start)
    return dict(ordered)


def _header(source: Source) -> bytes:
    path, size = source.path, source.size
    if size < _LENGTH_BYTES:
        raise CheckpointError(f"{path}: expected a safetensors file, got {size} bytes; fetch the file again")
    with source.opened() as file:
        beginning = file.read(NUM_BYTES)
        if instead := placeholder(beginning):
            raise CheckpointError(f"{path}: {instead}")
        length = int.from_bytes(beginning[:_LENGTH_BYTES], "little")
        file.seek(_LENGTH_BYTES)
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path}: header of {length:,} bytes is beyond the limit of {MAX_HEADER_BYTES:,}; "
                f"not a safetensors file, or a damaged one: it begins with {beginning[:16]!r}"
            )
        if length > size - _LENGTH_BYTES:
            raise CheckpointError(
                f"{path}: truncated: the header needs {length:,} bytes, the file has {size - _LENGTH_BYTES:,} for it; "
                "fetch the file again"
            )
        return file.read(length)


def _entry(source: Source, name: str, field: Any, data_start: int) -> TensorEntry:
    where = f"{source.path}: tensor {shown(name)}"
    if not isinstance(field, dict):
        raise CheckpointError(f"{where}: expected an object with dtype, shape and data_offsets, got {shown(field)}")
    dtype, shape, offsets = field.get("dtype"), field.get("shape"), field.get("data_offsets")
    if not isinstance(dtype, str):
        raise CheckpointError(f"{where}: dtype must be a string, got {shown(dtype)}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise CheckpointError(f"{where}: shape must be a list of sizes, got {shown(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{where}: data_offsets must be [begin, end] with begin <= end, got {shown(offsets)}")
    begin, end = offsets
    width = _BYTES_PER_VALUE.get(dtype)
    if width is not None and end - begin != (expected := width * math.prod(shape)):
        raise CheckpointError(
            f"{where}: expected {shown(expected)} bytes for {dtype} {shown(shape)}, got {end - begin}; "
            "the file is damaged"
        )
    return TensorEntry(source, dtype, tuple(shape), data_start + begin, end - begin)


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_data(source: Source, ordered: Iterable[tuple[str, TensorEntry]], data_start: int) -> None:
    end = data_start
    for name, entry in ordered:
        where = f"{source.path}: tensor {shown(name)}"
        if entry.offset != end:
            what = "overlaps the tensor before it" if entry.offset < end else "leaves a hole before it"
            raise CheckpointError(
                f"{where}: {what}: data_offsets must begin at {end - data_start:,}, got {entry.offset - data_start:,}; "
                "the file is damaged"
            )
        end = entry.offset + entry.num_bytes
        if end > source.size:
            raise CheckpointError(
                f"{where}: truncated: the data ends at byte {end:,}, the file at {source.size:,}; fetch the file again"
            )
    if end < source.size:
        raise CheckpointError(
            f"{source.path}: expected the file to end with its last tensor at byte {end:,}, got {source.size:,} bytes; "
            "the file is damaged"
        )
