"""Metadata and parts -> a GGUF file of version 3, streamed.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from qwen3_reranker.convert.part import Part

ALIGNMENT = 32
# The numbers of ggml_type.
_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

#: bool, int (32 bits, unsigned), float (32 bits), str, or a list of str or of int (32 bits, signed).
Value = bool | int | float | str | Sequence[str] | Sequence[int]


def write_gguf(file: BinaryIO, metadata: Mapping[str, Value], parts: Sequence[Part]) -> Iterator[int]:
    """Write metadata, the table of tensors and their data; yields the bytes of each chunk as it is written."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(parts), len(metadata))]
    for name, value in metadata.items():
        head += [_string(name), *_value(value)]
    offset = 0
    for part in parts:
        # Sizes are written with the fastest first.
        sizes = struct.pack(f"<I{len(part.shape)}Q", len(part.shape), *reversed(part.shape))
        head += [_string(part.name), sizes, struct.pack("<IQ", _TYPES[part.encoding], offset)]
        offset += part.num_bytes + -part.num_bytes % ALIGNMENT
    written = file.write(b"".join(head))
    file.write(bytes(-written % ALIGNMENT))
    for part in parts:
        for chunk in part.chunks():
            file.write(chunk)
            yield len(chunk)
        file.write(bytes(-part.num_bytes % ALIGNMENT))


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: Value) -> Iterator[bytes]:
    """The number of its type, then the value."""
    if isinstance(value, bool):
        yield struct.pack("<I?", _BOOL, value)
    elif isinstance(value, int):
        yield struct.pack("<II", _UINT32, value)
    elif isinstance(value, float):
        yield struct.pack("<If", _FLOAT32, value)
    elif isinstance(value, str):
        yield struct.pack("<I", _STRING) + _string(value)
    else:
        strings = [each for each in value if isinstance(each, str)]
        yield struct.pack("<IIQ", _ARRAY, _STRING if strings else _INT32, len(value))
        if strings:
            yield from map(_string, strings)
        else:
            yield struct.pack(f"<{len(value)}i", *value)
