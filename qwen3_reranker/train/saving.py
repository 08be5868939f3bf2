"""A trained student -> a PEFT adapter, or a whole causal-LM checkpoint."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor

from qwen3_reranker.convert import convert
from qwen3_reranker.convert.output_tensor import OutputTensor
from qwen3_reranker.convert.safetensors_file import write_safetensors
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.train.lora import TARGETS, adapters
from qwen3_reranker.train.student import Student
from qwen3_reranker.weights import Checkpoint, names
from qwen3_reranker.weights import Tensor as CheckpointTensor
from qwen3_reranker.weights.adapter import CONFIG, WEIGHTS
from qwen3_reranker.weights.computed_tensor import ComputedTensor
from qwen3_reranker.weights.hub import is_bundled
from qwen3_reranker.weights.hub_name import read_hub_name


@dataclass(frozen=True, slots=True)
class AdapterBase:
    """The base model of an adapter, as adapter_config.json names it."""

    name: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class TrainedTensor(ComputedTensor):
    """A weight in training under its published name. Read in chunks to write a checkpoint with little memory."""

    weight: Tensor = field(repr=False)

    def read(self, dtype: DTypeLike = np.float32, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The whole weight; into `out` if given."""
        values = self.weight.detach().float().cpu().numpy().astype(dtype)
        if out is None:
            return values
        out[...] = values
        return out

    def rows(self, ids: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Rows `ids`, (num_ids, columns)."""
        wanted = np.asarray(ids).tolist()
        return self.weight.detach()[wanted].float().cpu().numpy().astype(dtype)


def base_of(checkpoint: Checkpoint, revision: str | None) -> AdapterBase:
    """The base that an adapter names: a Hub id, nano, or a folder's absolute path.

    Raises CheckpointError for a GGUF file, which no adapter can name.
    """
    if checkpoint.layout == "gguf":
        raise CheckpointError(
            f"{checkpoint.name}: an adapter's base must be a folder of safetensors, not GGUF; convert it first "
            "(qwen3-reranker convert MODEL FOLDER --to hf), or train full"
        )
    if checkpoint.layout == "lora":
        fields = read_object(checkpoint.folder / CONFIG)
        name = str(fields["base_model_name_or_path"])
        folder = checkpoint.folder / name
        found = fields.get("revision")
        return AdapterBase(
            str(folder.resolve()) if folder.is_dir() else name, found if isinstance(found, str) else None
        )
    if is_bundled(checkpoint.name):
        return AdapterBase(checkpoint.name, None)
    wanted = None if os.path.exists(os.path.expanduser(checkpoint.name)) else read_hub_name(checkpoint.name)
    if wanted is None:
        return AdapterBase(str(checkpoint.folder.resolve()), None)
    return AdapterBase(wanted.repository, wanted.revision or revision)


def save(student: Student, checkpoint: Checkpoint, base: AdapterBase | None, card: str, folder: Path) -> None:
    """Write the folder completely or not at all. base: of the adapters, None for a whole checkpoint."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        if base is None:
            convert(_as_trained(student, checkpoint), scratch, "hf")
        else:
            scratch.mkdir()
            _write_adapter(student, checkpoint, base, scratch)
        (scratch / "README.md").write_text(card, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(scratch)
        raise


def _as_trained(student: Student, checkpoint: Checkpoint) -> Checkpoint:
    weights = dict(student.network.named_parameters())
    if student.lm_head is not None:
        weights[names.HEAD] = student.lm_head
    tensors = dict(checkpoint.tensors) | {checkpoint.head.tensor.name: checkpoint.head.tensor}
    trained = {name: _trained(tensors[name], weight) for name, weight in weights.items()}
    head = replace(checkpoint.head, tensor=trained[checkpoint.head.tensor.name], labels=None)
    return replace(checkpoint, tensors=trained, stored_head=head)


def _trained(tensor: CheckpointTensor, weight: Tensor) -> TrainedTensor:
    return TrainedTensor(tensor.name, tensor.shape, tensor.dtype, tensor.num_bytes, tensor.sources, weight=weight)


def _write_adapter(student: Student, checkpoint: Checkpoint, base: AdapterBase, folder: Path) -> None:
    found = dict(adapters(student.network))
    parts = [
        OutputTensor(f"base_model.model.{name}.lora_{letter}.weight", "F32", weight.detach().float().cpu().numpy())
        for name, module in found.items()
        for letter, weight in (("A", module.lora_A), ("B", module.lora_B))
    ]
    with open(folder / WEIGHTS, "xb") as file:
        for _ in write_safetensors(file, parts):
            pass
    ranks = {name: len(module.lora_A) for name, module in found.items()}
    alphas = {name: module.scale * ranks[name] for name, module in found.items()}
    rank, alpha = _usual(ranks), _usual(alphas)
    dropout = next(iter(found.values())).dropout.p
    is_classifier = checkpoint.head.tensor.name == names.SCORE
    fields = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if is_classifier else "CAUSAL_LM",
        "base_model_name_or_path": base.name,
        "revision": base.revision,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: each for name, each in ranks.items() if each != rank},
        "alpha_pattern": {name: each for name, each in alphas.items() if each != alpha},
        "lora_dropout": dropout,
        "target_modules": sorted(TARGETS),
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
    }
    (folder / CONFIG).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _usual(values: dict[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]
