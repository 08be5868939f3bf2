"""Tensors -> a .safetensors file, streamed. Layout: see weights/safetensors.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from qwen3_reranker.convert.output_tensor import OutputTensor

_ALIGNMENT = 64


def write_safetensors(file: BinaryIO, tensors: Sequence[OutputTensor]) -> Iterator[int]:
    """Write header and data; yields the byte count of each chunk."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.num_bytes
        fields[tensor.name] = {"dtype": tensor.encoding, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(fields, separators=(",", ":")).encode()
    # Spaces after the header are allowed; they align the data to 64 bytes.
    header += b" " * (-(8 + len(header)) % _ALIGNMENT)
    file.write(len(header).to_bytes(8, "little") + header)
    for tensor in tensors:
        for chunk in tensor.chunks():
            file.write(chunk)
            yield len(chunk)
