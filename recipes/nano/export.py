"""Trained weights -> a folder like any published Qwen3 causal-LM checkpoint, in bfloat16."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from qwen3_reranker.config import ModelConfig
from recipes.nano import tokenizer
from recipes.nano.network import NanoNetwork


def write(network: NanoNetwork, fields: dict[str, Any], recipe: Mapping[str, Any], folder: Path) -> None:
    """Write config.json, model.safetensors, tokenizer.json, tokenizer_config.json and recipe.json."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.detach().to(torch.bfloat16).contiguous() for name, weight in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    # The library makes the file readable by its owner only; a package's files need other readers.
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(fields, folder / "tokenizer.json")
    added = {token["content"]: token["id"] for token in fields["added_tokens"]}
    _write_json(folder / "config.json", config_fields(network.config, added["<|im_end|>"], added["<|endoftext|>"]))
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


def _write_json(path: Path, fields: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
