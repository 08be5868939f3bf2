"""The parts of a model that llama-gguf-split cut -> one header.

Keys: split.no, split.count and split.tensors.count of https://github.com/ggml-org/llama.cpp, which finds parts by name.
"""

from __future__ import annotations

from pathlib import Path

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.weights import gguf_names
from qwen3_reranker.weights.gguf_header import MOST_TENSORS, GgufHeader, GgufTensor, read_header

_NUMBER, _COUNT, _TENSORS = "split.no", "split.count", "split.tensors.count"


def read_whole_header(path: Path) -> GgufHeader:
    """The header of the file, or of the whole model if it is any part of one.

    Raises CheckpointError naming the part that is missing, damaged or of another model.
    """
    header = read_header(path)
    count = _whole(header, _COUNT)
    if count is None or count < 2:
        return header
    names = gguf_names.parts(path.name)
    if len(names) != count:
        raise CheckpointError(
            f"{path}: {_COUNT} is {count:,}: one of several files of a model, which are found by their names; call it "
            f"NAME-{(_whole(header, _NUMBER) or 0) + 1:05}-of-{count:05}.gguf, as it was written, and the others alike"
        )
    headers = [_part(path.with_name(name), number, count) for number, name in enumerate(names)]
    tensors: dict[str, GgufTensor] = {}
    for part in headers:
        for name, tensor in part.tensors.items():
            if name in tensors:
                raise CheckpointError(
                    f"{part.source.path}: tensor {shown(name)} lies in {tensors[name].source.path.name} too; the parts "
                    "are not of one model, fetch them again"
                )
            tensors[name] = tensor
        if len(tensors) > MOST_TENSORS:
            raise CheckpointError(f"{part.source.path}: its model has more tensors than the limit of {MOST_TENSORS:,}")
    expected = {_whole(part, _TENSORS) for part in headers} - {None, len(tensors)}
    if expected:
        raise CheckpointError(
            f"{headers[0].source.path}: {_TENSORS} is {expected.pop()}, but its {count} parts hold {len(tensors)}; "
            "the parts are not of one model, fetch them again"
        )
    return GgufHeader(headers[0].source, headers[0].metadata, tensors)


def _part(path: Path, number: int, count: int) -> GgufHeader:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: missing, part {number + 1} of the {count} of this model; all of them must lie in one folder"
        )
    header = read_header(path)
    found = (_whole(header, _NUMBER), _whole(header, _COUNT))
    if found != (number, count):
        raise CheckpointError(
            f"{path}: {_NUMBER} and {_COUNT} must be {number} and {count}, as its name says, got "
            f"{shown(found[0])} and {shown(found[1])}; it is a part of another model, or was renamed: fetch it again"
        )
    return header


def _whole(header: GgufHeader, key: str) -> int | None:
    return header.metadata.whole(key) if key in header.metadata else None
