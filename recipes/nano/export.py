"""Trained weights -> a folder like any published Qwen3 causal-LM checkpoint, in bfloat16 or compressed-tensors' int8.

In int8 a weight is an integer of -127..127 times the scale of its group of inputs. Shapes: R rows, G groups, I inputs
of one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from qwen3_reranker.config import ModelConfig
from recipes.nano import tokenizer
from recipes.nano.network import NanoNetwork

# The most inputs that share a scale: as many as in the cpu backend's int8, which so keeps every weight as it is stored.
GROUP = 64
Storage = Literal["bfloat16", "int8"]


def round_weights(network: NanoNetwork, storage: Storage) -> None:
    """Make every weight what the folder will hold, so that the network that is measured is the one that is written."""
    with torch.no_grad():
        for weight in network.parameters():
            if storage == "bfloat16":
                weight.copy_(weight.bfloat16())
            elif weight.dim() == 2:
                weight.copy_(_decoded(*_stored(weight, _group(network.config))))


def write(
    network: NanoNetwork, fields: dict[str, Any], recipe: Mapping[str, Any], folder: Path, storage: Storage
) -> None:
    """Write config.json, model.safetensors, tokenizer.json, tokenizer_config.json and recipe.json.

    Raises ValueError for a network whose weights are not rounded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, weight in network.state_dict().items():
        if storage == "bfloat16":
            tensors[name] = kept = weight.bfloat16()
        elif weight.dim() == 2:
            tensors[name], tensors[f"{name}_scale"] = stored = _stored(weight, _group(network.config))
            kept = _decoded(*stored)
        else:
            tensors[name] = kept = weight
        if not torch.equal(kept.float(), weight):
            raise ValueError(f"{name} is not rounded, so what was measured is not what would be written")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    # The library makes the file readable by its owner only; a package's files need other readers.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(fields, folder / "tokenizer.json")
    added = {token["content"]: token["id"] for token in fields["added_tokens"]}
    config = config_fields(network.config, added["<|im_end|>"], added["<|endoftext|>"])
    if storage == "int8":
        config |= {"torch_dtype": "float32", "quantization_config": _quantization(_group(network.config))}
    _write_json(folder / "config.json", config)
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "padding_side": "left",
            "model_max_length": network.config.max_position_embeddings,
        },
    )
    _write_json(folder / "recipe.json", {**recipe, "fingerprint": fingerprint(folder)})


def config_fields(config: ModelConfig, eos_id: int, pad_id: int) -> dict[str, Any]:
    """The fields of config.json, named as in a published Qwen3 checkpoint."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        **config.to_json(),
        "bos_token_id": pad_id,
        "eos_token_id": eos_id,
        "torch_dtype": "bfloat16",
    }


def _quantization(group: int) -> dict[str, Any]:
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear", "Embedding"], "weights": weights}},
        # The word vectors are the head too.
        "ignore": ["lm_head"],
        # Transformers decodes while it loads: it has no layer of quantised word vectors.
        "dequantize": True,
    }


def fingerprint(folder: Path) -> str:
    """One sha256 over the files that make the model: configuration, tokenizer, weights."""
    total = hashlib.sha256()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        total.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    return total.hexdigest()


def code_fingerprint() -> str:
    """One sha256 over the recipe's own source files."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _group(config: ModelConfig) -> int:
    """How many inputs share a scale: the most that divide the inputs of every matrix."""
    return math.gcd(GROUP, config.hidden_size, config.num_attention_heads * config.head_dim, config.intermediate_size)


def _stored(weight_RI: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Integers and scales of the nearest weights, (R, G * I) int8 and (R, G) float32. These weights give them again.

    A scale has the 8 bits of a bfloat16, so that float32 holds every product, and the largest integer of a group stays
    127. It is stored as float32, because compressed-tensors multiplies in the type of the scales.
    """
    groups_RGI = weight_RI.detach().float().reshape(len(weight_RI), -1, group)
    most_RG = groups_RGI.abs().amax(2)
    scales_RG = torch.where(most_RG > 0, most_RG / 127, 1).bfloat16().float()
    digits_RGI = (groups_RGI / scales_RG[:, :, None]).round().clamp(-127, 127)
    return digits_RGI.flatten(1).to(torch.int8), scales_RG


def _decoded(digits_RI: Tensor, scales_RG: Tensor) -> Tensor:
    """The float32 weights, (R, G * I)."""
    rows, groups = scales_RG.shape
    return (digits_RI.float().reshape(rows, groups, -1) * scales_RG[:, :, None]).flatten(1)


def _write_json(path: Path, fields: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
