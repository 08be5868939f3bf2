"""Metadata and tensors -> a GGUF file of version 3, streamed.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from qwen3_reranker.convert.output_tensor import OutputTensor

ALIGNMENT = 32
# The numbers of ggml_type.
_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

#: bool, int (32 bits, unsigned), float (32 bits), str, or a list of str or of int (32 bits, signed).
Value = bool | int | float | str | Sequence[str] | Sequence[int]


def write_gguf(file: BinaryIO, metadata: Mapping[str, Value], tensors: Sequence[OutputTensor]) -> Iterator[int]:
    """Write metadata, the tensor table and the data; yields the byte count of each chunk."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for name, value in metadata.items():
        head += [_string(name), *_value(value)]
    offset = 0
    for tensor in tensors:
        # Sizes are written with the fastest first.
        sizes = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        head += [_string(tensor.name), sizes, struct.pack("<IQ", _TYPES[tensor.encoding], offset)]
        offset += tensor.num_bytes + -tensor.num_bytes % ALIGNMENT
    written = file.write(b"".join(head))
    file.write(bytes(-written % ALIGNMENT))
    for tensor in tensors:
        for chunk in tensor.chunks():
            file.write(chunk)
            yield len(chunk)
        file.write(bytes(-tensor.num_bytes % ALIGNMENT))


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
