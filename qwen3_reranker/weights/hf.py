"""A Hugging Face folder (config.json and *.safetensors, single or sharded) -> Checkpoint; reads headers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.weights import names
from qwen3_reranker.weights.checkpoint import Checkpoint
from qwen3_reranker.weights.safetensors import Entry, read_entries
from qwen3_reranker.weights.tensor import STORAGE, Tensor

_CONFIG = "config.json"
_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_ARCHITECTURE = "Qwen3ForCausalLM"
_SEQUENCE_CLASSIFICATION = (
    "this is a sequence-classification conversion, a layout that is not read yet; "
    "use the causal-LM checkpoint it was made from, e.g. Qwen/Qwen3-Reranker-0.6B"
)


def open_folder(folder: Path, name: str) -> Checkpoint:
    """The checkpoint in `folder`; raises CheckpointError naming the file, and the tensor, that is not as it must be."""
    try:
        config = _read_config(folder)
        return Checkpoint(name, folder, config, _needed(config, _entries(folder), folder))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from None


def _read_config(folder: Path) -> ModelConfig:
    path = folder / _CONFIG
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; {_what_instead(folder)}")
    fields = read_object(path)
    config = ModelConfig.from_json(fields, str(path))
    architectures = fields.get("architectures", [_ARCHITECTURE])
    if not isinstance(architectures, list) or _ARCHITECTURE not in architectures:
        if architectures == ["Qwen3ForSequenceClassification"]:
            raise CheckpointError(f"{path}: architectures is {architectures}: {_SEQUENCE_CLASSIFICATION}")
        raise CheckpointError(f"{path}: architectures must name {_ARCHITECTURE}, got {shown(architectures)}")
    return config


def _entries(folder: Path) -> Mapping[str, Entry]:
    # A whole file wins over an index beside it, as in transformers.
    if (folder / _SINGLE).exists():
        return read_entries(folder / _SINGLE)
    if (folder / _INDEX).exists():
        return _sharded_entries(folder)
    raise CheckpointError(f"{folder / _SINGLE}: missing, and so is {_INDEX}; {_what_instead(folder)}")


def _sharded_entries(folder: Path) -> Mapping[str, Entry]:
    index = folder / _INDEX
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{index}: weight_map must be an object of tensor -> file, got {shown(weight_map)}")
    shards: dict[str, Mapping[str, Entry]] = {}
    entries: dict[str, Entry] = {}
    for name, shard in weight_map.items():
        if not _is_plain_name(shard):
            raise CheckpointError(
                f"{index}: tensor {shown(name)}: expected the name of a .safetensors file in this folder, "
                f"got {shown(shard)}; paths that lead elsewhere are refused"
            )
        path = folder / shard
        if shard not in shards:
            if not path.is_file():
                raise CheckpointError(
                    f"{path}: shard missing, which {_INDEX} lists for tensor {shown(name)}; fetch it again"
                )
            shards[shard] = read_entries(path)
        if name not in shards[shard]:
            raise CheckpointError(
                f"{path}: tensor {shown(name)} is missing, though {_INDEX} lists it here; index and shards are not of "
                "one checkpoint, fetch them again"
            )
        entries[name] = shards[shard][name]
    return entries


def _is_plain_name(shard: object) -> bool:
    return (
        isinstance(shard, str)
        and shard.endswith(".safetensors")
        and shard.isprintable()
        and not any(mark in shard for mark in "/\\:")
        and len(shard) < 256
    )


def _needed(config: ModelConfig, entries: Mapping[str, Entry], folder: Path) -> dict[str, Tensor]:
    if "score.weight" in entries:
        raise CheckpointError(
            f"{entries['score.weight'].source.path}: holds tensor 'score.weight': {_SEQUENCE_CLASSIFICATION}"
        )
    tensors = {}
    for name, shape in names.expected_shapes(config):
        if name not in entries:
            raise _missing(name, entries, folder)
        tensors[name] = _tensor(name, shape, entries[name])
    return tensors


def _tensor(name: str, shape: tuple[int, ...], entry: Entry) -> Tensor:
    where = f"{entry.source.path}: tensor {name!r}"
    if entry.dtype not in STORAGE:
        raise CheckpointError(
            f"{where}: dtype must be one of {', '.join(STORAGE)}, got {shown(entry.dtype)}; "
            "use the unquantised checkpoint"
        )
    if entry.shape != shape:
        raise CheckpointError(
            f"{where}: expected shape {list(shape)} from {_CONFIG}, got {shown(list(entry.shape))}; "
            "configuration and weights are not of one model"
        )
    return Tensor(name, shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)


def _missing(name: str, entries: Mapping[str, Entry], folder: Path) -> CheckpointError:
    where = folder / (_SINGLE if (folder / _SINGLE).exists() else _INDEX)
    if name == names.HEAD:
        return CheckpointError(
            f"{where}: tensor {name!r} is missing and {_CONFIG} says tie_word_embeddings is false; a head is never "
            "made up: add its tensor from the original model, or set tie_word_embeddings to true if it was trained so"
        )
    bare_name = name.removeprefix("model.")
    if bare_name in entries:
        return CheckpointError(
            f"{where}: tensor {name!r} is missing, but {bare_name!r} is there: names without 'model.' are those of a "
            "Qwen3-Embedding checkpoint, which has no yes/no head; use a Qwen3-Reranker"
        )
    return CheckpointError(
        f"{where}: tensor {name!r} is missing ({len(entries)} others are there); the checkpoint is incomplete or not a "
        "causal-LM Qwen3, and weights are never made up: fetch it again"
    )


def _what_instead(folder: Path) -> str:
    suffixes = {path.suffix for path in folder.iterdir()}
    if (folder / "adapter_config.json").exists():
        return "the folder holds a LoRA adapter: merge it into its base model first and use the merged folder"
    if suffixes & {".bin", ".pt", ".pth"}:
        return (
            "the folder holds pickled weights, which are never read because loading them runs code: convert them with "
            "transformers, AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    if ".gguf" in suffixes:
        return "the folder holds GGUF, which is not read yet: use the safetensors checkpoint"
    return "expected a Hugging Face folder with config.json, tokenizer.json and model.safetensors; fetch it again"
