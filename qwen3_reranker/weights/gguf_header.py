"""A .gguf file -> its metadata and its table of tensors, every bound checked.

Layout (little-endian, versions 2 and 3): magic "GGUF", version, number of tensors, number of metadata fields; each
field is key, type, value; each tensor is name, dimensions with the fastest first, type, offset from the beginning of
the data, which begins at the next multiple of general.alignment.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.placeholders import NUM_BYTES, placeholder
from qwen3_reranker.weights.encodings import ENCODINGS
from qwen3_reranker.weights.gguf_metadata import ARRAY, BOOL, FIXED, STRING, Metadata, MetadataValue
from qwen3_reranker.weights.tensor import Source

# Far beyond any Qwen3's, and what keeps a header of a few bytes a field from becoming a hundred times that in memory.
MOST_FIELDS = 1024
MOST_TENSORS = 2048
_LONGEST_NAME = 64
_LONGEST_KEY = 65_535
_MOST_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32
_ALIGNMENT = "general.alignment"

_U32, _U64 = Struct("<I"), Struct("<Q")
_PREAMBLE = Struct("<4sIQQ")
# The least that a field takes (key's length, type, value), and a tensor (name's length, dimensions, one, type, offset).
_SMALLEST_FIELD = 8 + 4 + 1
_SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8

# The number of each type of tensor in ggml.h; those that are not in ENCODINGS may be in a file, but are not read.
TYPES: Mapping[int, str] = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K"},
    **{12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S"},
    **{20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64"},
    **{29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0"},
}


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One line of the table: shape as numpy has it (slowest first). `offset` counts from the beginning of the file.

    num_bytes is 0 for a type that is not read, as its size is not known.
    """

    source: Source
    type: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a file says about itself; the metadata's values are still in it."""

    source: Source
    metadata: Metadata
    tensors: Mapping[str, GgufTensor]


def read_header(path: Path) -> GgufHeader:
    """The header of the file. Raises CheckpointError naming the file, and the field or tensor, that is wrong.

    Takes memory for a bounded number of fields and tensors, whatever the file's counts say, and no copy of its values.
    """
    source = Source.of(path)
    if source.size < _PREAMBLE.size:
        raise CheckpointError(f"{path}: expected a GGUF file, got {source.size} bytes; fetch the file again")
    return _Reader(source).header()


class _Reader:
    """Walks through the header once; `place` is the next byte."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data: mmap.mmap = source.mapped()
        self.place = 0

    def header(self) -> GgufHeader:
        num_tensors, num_fields = self._preamble()
        fields: dict[str, MetadataValue] = {}
        for _ in range(num_fields):
            key = self._name("a metadata key", _LONGEST_KEY)
            if key in fields:
                raise self._wrong(f"metadata field {shown(key)} appears twice")
            fields[key] = self._value(f"metadata field {shown(key)}")
        metadata = Metadata(self.source, fields)
        table = self._table(num_tensors)
        return GgufHeader(self.source, metadata, self._placed(table, metadata))

    def _preamble(self) -> tuple[int, int]:
        magic, version, num_tensors, num_fields = _PREAMBLE.unpack_from(self.data)
        if magic != b"GGUF":
            instead = placeholder(self.data[:NUM_BYTES])
            raise CheckpointError(
                f"{self.source.path}: "
                f"{instead or f'expected a GGUF file, but it begins with {magic!r}; fetch the file again'}"
            )
        if version not in (2, 3):
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            what = f"version {swapped} in big-endian" if swapped in (2, 3) else f"version {version}"
            raise self._wrong(f"GGUF {what} is not read; expected version 2 or 3, little-endian")
        self.place = _PREAMBLE.size
        for what, count, most, least in (
            ("metadata fields", num_fields, MOST_FIELDS, _SMALLEST_FIELD),
            ("tensors", num_tensors, MOST_TENSORS, _SMALLEST_TENSOR),
        ):
            if count > most:
                raise self._wrong(f"{count:,} {what} are beyond the limit of {most:,}")
            if count * least > self.source.size:
                raise self._wrong(f"truncated: {count:,} {what} do not fit into {self.source.size:,} bytes")
        return num_tensors, num_fields

    def _table(self, count: int) -> dict[str, tuple[int, tuple[int, ...], int]]:
        """Each tensor's type, its shape, slowest dimension first, and its offset in the data."""
        table: dict[str, tuple[int, tuple[int, ...], int]] = {}
        for _ in range(count):
            name = self._name("a tensor's name", _LONGEST_NAME)
            where = f"tensor {shown(name)}"
            if name in table:
                raise self._wrong(f"{where} appears twice")
            dimensions = self._integer(_U32, where)
            if not 1 <= dimensions <= _MOST_DIMENSIONS:
                raise self._wrong(f"{where}: expected 1 to {_MOST_DIMENSIONS} dimensions, got {dimensions}")
            shape = tuple(self._integer(_U64, where) for _ in range(dimensions))[::-1]
            if 0 in shape:
                raise self._wrong(f"{where}: a dimension of shape {shown(list(shape))} is 0")
            table[name] = self._integer(_U32, where), shape, self._integer(_U64, where)
        return table

    def _placed(
        self, table: Mapping[str, tuple[int, tuple[int, ...], int]], metadata: Metadata
    ) -> Mapping[str, GgufTensor]:
        alignment = metadata.whole(_ALIGNMENT) if _ALIGNMENT in metadata else _DEFAULT_ALIGNMENT
        if alignment < 1 or alignment & (alignment - 1):
            raise self._wrong(f"{_ALIGNMENT} must be a power of two, got {alignment}")
        start = -(-self.place // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        end = 0
        for name, (number, shape, offset) in sorted(table.items(), key=lambda item: item[1][2]):
            where = f"tensor {shown(name)}"
            if offset % alignment:
                raise self._wrong(f"{where}: offset {offset} is no multiple of {_ALIGNMENT}, {alignment}")
            if offset < end:
                raise self._wrong(f"{where}: overlaps the tensor before it: begins at {offset:,}, that ends at {end:,}")
            kind = TYPES.get(number, str(number))
            num_bytes = self._num_bytes(where, kind, shape)
            end = offset + num_bytes
            if start + end > self.source.size:
                raise self._wrong(
                    f"{where}: truncated: the data ends at byte {start + end:,}, the file at {self.source.size:,}"
                )
            tensors[name] = GgufTensor(self.source, kind, shape, start + offset, num_bytes)
        return tensors

    def _num_bytes(self, where: str, kind: str, shape: tuple[int, ...]) -> int:
        encoding = ENCODINGS.get(kind)
        if encoding is None:
            return 0
        if shape[-1] % encoding.block_values:
            raise self._wrong(
                f"{where}: a row of {shape[-1]} values is no whole number of {kind}'s blocks of {encoding.block_values}"
            )
        return encoding.num_bytes(math.prod(shape))

    def _value(self, where: str) -> MetadataValue:
        kind = self._integer(_U32, where)
        if kind != ARRAY:
            return self._run(where, kind, 1, False)
        kind, count = self._integer(_U32, where), self._integer(_U64, where)
        if kind == ARRAY:
            raise self._wrong(f"{where}: arrays of arrays are not read")
        return self._run(where, kind, count, True)

    def _run(self, where: str, kind: int, count: int, is_array: bool) -> MetadataValue:
        """`count` values of one type from here on, which are skipped."""
        if kind == STRING:
            width = _U64.size
        elif kind in FIXED:
            width = FIXED[kind].itemsize
        else:
            raise self._wrong(f"{where}: type {kind} is unknown")
        start, left = self.place, self.source.size - self.place
        if count * width > left:
            raise self._wrong(f"{where}: truncated: {count:,} values do not fit into the {left:,} bytes left")
        if kind == STRING:
            self._skip_strings(where, count)
        else:
            self.place += count * width
            if kind == BOOL and self.data[start : self.place].strip(b"\0\1"):
                raise self._wrong(f"{where}: a truth value must be 0 or 1")
        return MetadataValue(kind, count, is_array, start, self.place)

    def _skip_strings(self, where: str, count: int) -> None:
        data, place, last, unpack = self.data, self.place, self.source.size - _U64.size, _U64.unpack_from
        for _ in range(count):
            if place > last:
                raise self._wrong(f"{where}: truncated: a string begins behind the file's end")
            place += _U64.size + unpack(data, place)[0]
        if place > self.source.size:
            raise self._wrong(f"{where}: truncated: a string ends behind the file's end")
        self.place = place

    def _name(self, what: str, longest: int) -> str:
        length = self._integer(_U64, what)
        if length > longest:
            raise self._wrong(f"{what} of {length:,} bytes at byte {self.place:,}; at most {longest:,} are read")
        if length > self.source.size - self.place:
            raise self._wrong(f"truncated in {what} at byte {self.place:,}")
        text = self.data[self.place : self.place + length]
        self.place += length
        if not text.isascii():
            raise self._wrong(f"{what} is no ASCII: {shown(text)}")
        return text.decode("ascii")

    def _integer(self, kind: Struct, where: str) -> int:
        if kind.size > self.source.size - self.place:
            raise self._wrong(f"truncated in {where} at byte {self.place:,}")
        (value,) = kind.unpack_from(self.data, self.place)
        self.place += kind.size
        return int(value)

    def _wrong(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.source.path}: {what}; the file is damaged or of another kind, fetch it again")
