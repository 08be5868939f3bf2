"""Random Qwen3 checkpoints on disk: the published layout, any shape, written tensor by tensor."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from testing.tokenizer import NANO_ENTRIES, NANO_TOKENIZER, SMALL_ENTRIES, small_tokenizer

Shapes = dict[str, tuple[int, ...]]

TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# A prime, so that the rows of a large matrix, cut from one repeated block, do not repeat with it.
_BLOCK_VALUES = 1_000_003


def write_checkpoint(
    folder: Path,
    *,
    vocab_size: int = 320,
    hidden_size: int = 32,
    intermediate_size: int = 48,
    num_hidden_layers: int = 2,
    num_attention_heads: int = 4,
    num_key_value_heads: int = 2,
    head_dim: int = 8,
    max_position_embeddings: int = 40960,
    rms_norm_eps: float = 1e-6,
    rope_theta: float = 1_000_000,
    tied: bool = True,
    store_head: bool | None = None,
    dtype: str = "F32",
    shards: int = 1,
    seed: int = 0,
    tokenizer_file: Path | None = None,
    initializer_range: float = 0.02,
    norm_noise: float = 0.1,
) -> Path:
    """Write a random checkpoint into `folder` (made if missing) and return `folder`.

    Matrices are normal with standard deviation `initializer_range`, norms (the per-head ones too) are 1 + `norm_noise`
    times normal, rounded to `dtype` (F32, F16, BF16). `store_head` writes lm_head.weight, by default if not `tied`.
    A raised `initializer_range` (0.2, say) makes tiny networks answer distinctly. Takes ~50 MB whatever the size.
    """
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": min(151643, vocab_size - 1),
        "eos_token_id": min(151645, vocab_size - 1),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden_size,
        "initializer_range": initializer_range,
        "intermediate_size": intermediate_size,
        "max_position_embeddings": max_position_embeddings,
        "max_window_layers": num_hidden_layers,
        "model_type": "qwen3",
        "num_attention_heads": num_attention_heads,
        "num_hidden_layers": num_hidden_layers,
        "num_key_value_heads": num_key_value_heads,
        "rms_norm_eps": rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": rope_theta,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "torch_dtype": TORCH_NAMES[dtype],
        "transformers_version": "4.52.4",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": vocab_size,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shapes = tensor_shapes(config, with_head=not tied if store_head is None else store_head)
    values = _Values(np.random.default_rng(seed), initializer_range, norm_noise, dtype)
    _write_weights(folder, shapes, values, dtype, shards)
    if tokenizer_file is not None:
        shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    return folder


def write_nano_checkpoint(folder: Path, **options: Any) -> Path:
    """A random checkpoint with nano's tokenizer; options of `write_checkpoint`."""
    return write_checkpoint(folder, vocab_size=NANO_ENTRIES, tokenizer_file=NANO_TOKENIZER, **options)


def write_small_checkpoint(folder: Path, **options: Any) -> Path:
    """A random checkpoint with a tokenizer of few words; options of `write_checkpoint`."""
    write_checkpoint(folder, **{"vocab_size": SMALL_ENTRIES, **options})
    (folder / "tokenizer.json").write_bytes(small_tokenizer())
    return folder


def tensor_shapes(config: Mapping[str, Any], with_head: bool) -> Shapes:
    """Published name -> shape, written out from the published checkpoints and not from the package's own table."""
    hidden, feed_forward, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    attention = config["num_attention_heads"] * head_dim
    key_value = config["num_key_value_heads"] * head_dim
    words = (config["vocab_size"], hidden)
    shapes: Shapes = {"lm_head.weight": words} if with_head else {}
    shapes["model.embed_tokens.weight"] = words
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        shapes[f"{layer}.input_layernorm.weight"] = (hidden,)
        shapes[f"{layer}.mlp.down_proj.weight"] = (hidden, feed_forward)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (feed_forward, hidden)
        shapes[f"{layer}.mlp.up_proj.weight"] = (feed_forward, hidden)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (hidden,)
        shapes[f"{layer}.self_attn.k_norm.weight"] = (head_dim,)
        shapes[f"{layer}.self_attn.k_proj.weight"] = (key_value, hidden)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (hidden, attention)
        shapes[f"{layer}.self_attn.q_norm.weight"] = (head_dim,)
        shapes[f"{layer}.self_attn.q_proj.weight"] = (attention, hidden)
        shapes[f"{layer}.self_attn.v_proj.weight"] = (key_value, hidden)
    shapes["model.norm.weight"] = (hidden,)
    return shapes


def to_stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 values as stored: F32 and F16 as such, BF16 as rounded bits."""
    if dtype != "BF16":
        return values.astype({"F32": np.float32, "F16": np.float16}[dtype])
    bits = values.astype(np.float32).view(np.uint32)
    rounded: np.ndarray = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16)


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A .safetensors file with this header, valid or not, and this data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


class _Values:
    """Stored random values of a tensor, in blocks."""

    def __init__(self, random: np.random.Generator, spread: float, norm_noise: float, dtype: str) -> None:
        self.random, self.norm_noise, self.dtype = random, norm_noise, dtype
        self.block = to_stored(random.standard_normal(_BLOCK_VALUES, np.float32) * np.float32(spread), dtype)

    def blocks(self, shape: Sequence[int]) -> Iterator[np.ndarray]:
        if len(shape) == 1:
            noise = self.random.standard_normal(shape[0], np.float32)
            yield to_stored(1 + np.float32(self.norm_noise) * noise, self.dtype)
            return
        left = math.prod(shape)
        start = int(self.random.integers(_BLOCK_VALUES))
        while left:
            block = self.block[start : start + left]
            yield block
            left -= block.size
            start = 0


def _write_weights(folder: Path, shapes: Shapes, values: _Values, dtype: str, shards: int) -> None:
    if shards == 1:
        _write_file(folder / "model.safetensors", shapes, values, dtype)
        return
    names = list(shapes)
    weight_map = {}
    for number in range(shards):
        file_name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        chosen = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        _write_file(folder / file_name, {name: shapes[name] for name in chosen}, values, dtype)
        weight_map.update(dict.fromkeys(chosen, file_name))
    width = values.block.itemsize
    index = {
        "metadata": {"total_size": sum(width * math.prod(shape) for shape in shapes.values())},
        "weight_map": weight_map,
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(path: Path, shapes: Shapes, values: _Values, dtype: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + values.block.itemsize * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(safetensors_bytes(text + b" " * (-len(text) % 8)))
        for shape in shapes.values():
            _write_blocks(file, values.blocks(shape))


def _write_blocks(file: BinaryIO, blocks: Iterator[np.ndarray]) -> None:
    for block in blocks:
        file.write(block.data)
