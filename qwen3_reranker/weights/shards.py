"""A folder's safetensors, one file or listed shards -> one table of tensors. Reads headers only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights.encodings import PLAIN
from qwen3_reranker.weights.safetensors import TensorEntry, read_entries
from qwen3_reranker.weights.tensor import StoredTensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors", re.ASCII)
# Types that say too much or too little of themselves, and what to do about them.
_OTHERWISE = {"F64": "save the model in float32, model.to(torch.float32).save_pretrained(folder)"}


def weights_file(folder: Path) -> Path | None:
    """The file that says which tensors a folder holds, if it has one."""
    # A whole file wins over an index next to it, as in transformers.
    return next((folder / name for name in (SINGLE, INDEX) if (folder / name).exists()), None)


def first_shard(folder: Path) -> Path | None:
    """The first shard of a folder without a whole file or an index. It need not be there.

    Raises CheckpointError for shards of two checkpoints.
    """
    counts = {found[2] for path in folder.iterdir() if (found := _SHARD.fullmatch(path.name))}
    if len(counts) > 1:
        raise CheckpointError(
            f"{folder / INDEX}: missing, and the folder holds shards of {' and of '.join(sorted(counts))}, of two "
            "checkpoints; keep those of one"
        )
    return folder / f"model-00001-of-{counts.pop()}.safetensors" if counts else None


def folder_entries(path: Path) -> Mapping[str, TensorEntry]:
    """Every tensor of the folder whose `weights_file` or `first_shard` that is.

    Raises CheckpointError naming file and tensor.
    """
    if path.name == INDEX:
        return _sharded_entries(path)
    shard = _SHARD.fullmatch(path.name)
    return _entries_of_all(path.parent, int(shard[2])) if shard else read_entries(path)


def shaped_tensor(name: str, shape: tuple[int, ...], entry: TensorEntry, reason: str) -> StoredTensor:
    """The tensor of `shape`, which `reason` asks for, and a plain dtype. Raises CheckpointError for others."""
    where = f"{entry.source.path}: tensor {name!r}"
    if entry.dtype not in PLAIN:
        raise CheckpointError(
            f"{where}: dtype must be one of {', '.join(PLAIN)}, got {shown(entry.dtype)}; "
            f"{_OTHERWISE.get(entry.dtype, 'use the unquantised checkpoint')}"
        )
    if entry.shape != shape:
        raise CheckpointError(
            f"{where}: expected shape {list(shape)} from {reason}, got {shown(list(entry.shape))}; "
            "configuration and weights are not of one model"
        )
    return StoredTensor(name, shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)


def _sharded_entries(index: Path) -> Mapping[str, TensorEntry]:
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{index}: weight_map must be an object of tensor -> file, got {shown(weight_map)}")
    shards: dict[str, Mapping[str, TensorEntry]] = {}
    entries: dict[str, TensorEntry] = {}
    for name, shard in weight_map.items():
        if not _is_plain_name(shard):
            raise CheckpointError(
                f"{index}: tensor {shown(name)}: expected the name of a .safetensors file in this folder, "
                f"got {shown(shard)}; paths that lead elsewhere are refused"
            )
        path = index.parent / shard
        if shard not in shards:
            if not path.is_file():
                raise CheckpointError(
                    f"{path}: shard missing, which {INDEX} lists for tensor {shown(name)}; fetch it again"
                )
            shards[shard] = read_entries(path)
        if name not in shards[shard]:
            raise CheckpointError(
                f"{path}: tensor {shown(name)} is missing, though {INDEX} lists it here; index and shards are not of "
                "one checkpoint, fetch them again"
            )
        entries[name] = shards[shard][name]
    return entries


def _entries_of_all(folder: Path, count: int) -> Mapping[str, TensorEntry]:
    entries: dict[str, TensorEntry] = {}
    for number in range(1, count + 1):
        path = folder / f"model-{number:05}-of-{count:05}.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{path}: shard missing, and so is {INDEX}; fetch both, and whatever else is missing")
        for name, entry in read_entries(path).items():
            if name in entries:
                raise CheckpointError(
                    f"{path}: tensor {shown(name)} lies in {entries[name].source.path.name} too; the shards are not of "
                    f"one checkpoint, fetch them and {INDEX} again"
                )
            entries[name] = entry
    return entries


def _is_plain_name(shard: object) -> bool:
    return (
        isinstance(shard, str)
        and shard.endswith(".safetensors")
        and shard.isprintable()
        and not any(mark in shard for mark in "/\\:")
        and len(shard) < 256
    )
