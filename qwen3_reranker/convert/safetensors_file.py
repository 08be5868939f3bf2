"""Parts -> a .safetensors file, streamed. Layout: see weights/safetensors.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from qwen3_reranker.convert.part import Part

_ALIGNMENT = 64


def write_safetensors(file: BinaryIO, parts: Sequence[Part]) -> Iterator[int]:
    """Write header and data; yields the bytes of each chunk as it is written."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for part in parts:
        begin, end = end, end + part.num_bytes
        fields[part.name] = {"dtype": part.encoding, "shape": list(part.shape), "data_offsets": [begin, end]}
    header = json.dumps(fields, separators=(",", ":")).encode()
    # Spaces behind the header are allowed, and bring the data to a multiple of 64 bytes.
    header += b" " * (-(8 + len(header)) % _ALIGNMENT)
    file.write(len(header).to_bytes(8, "little") + header)
    for part in parts:
        for chunk in part.chunks():
            file.write(chunk)
            yield len(chunk)
