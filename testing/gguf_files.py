"""GGUF files written by the gguf package from a Hugging Face folder, as llama.cpp's converter and quantizer do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType
from safetensors.torch import load_file

from benchmarks.rivals.gguf_file import gguf_name

Fields = dict[str, Any]

# Types that the gguf package reads but does not write: the float16 numbers of a block, by byte, for values around 0.
RANDOM_SCALES: dict[str, dict[int, float]] = {
    "Q2_K": {80: 2e-3, 82: 3e-3},
    "Q3_K": {108: 5e-4},
    "Q4_K": {0: 1e-4, 2: 7.5e-4},
    "Q5_K": {0: 5e-5, 2: 7.75e-4},
    "Q6_K": {208: 2e-5},
    "IQ4_NL": {0: 1e-3},
    "IQ4_XS": {0: 3e-5},
}
WRITTEN = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
_VALUE_TYPES = {int: GGUFValueType.UINT32, float: GGUFValueType.FLOAT32, str: GGUFValueType.STRING}


def write_gguf(
    path: Path,
    folder: Path,
    *,
    kind: str = "F32",
    kinds: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = ("yes", "no"),
    head: np.ndarray | None = None,
    fields: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray | None] | None = None,
    alignment: int | None = None,
    tensors_of_a_part: int = 0,
) -> Path:
    """Write the checkpoint of `folder` as a GGUF file and return `path`, or that of the first part.

    kind: the type of every matrix, or another in `kinds` by GGUF name; vectors are float32. labels: what the rows of
    `head` are, in that order; None for a file without a head. head: by default the words' rows of lm_head or embedding,
    for a folder that has a tokenizer, or the first two rows. fields, tensors: changed ones, None to leave one out.
    tensors_of_a_part: how many each of several files holds.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    every = {gguf_name(name): values for name, values in values_of(folder).items()}
    if labels is not None:
        every.pop("output.weight", None)
        every["cls.output.weight"] = _head_rows(folder, labels) if head is None else head
    metadata = {**_network(config), **tokenizer_fields(folder)}
    if labels is not None:
        metadata |= {"qwen3.pooling_type": 4, "qwen3.classifier.output_labels": list(labels)}
    metadata |= fields or {}
    every |= tensors or {}  # type: ignore[arg-type]
    architecture = metadata.pop("general.architecture", "qwen3")
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_of_a_part)
    if alignment:
        writer.add_custom_alignment(alignment)
    add_fields(writer, metadata)
    for name, values in every.items():
        if values is not None:
            add_tensor(writer, name, values, (kinds or {}).get(name, kind))
    finish(writer)
    return writer.format_shard_names(path)[0]


def values_of(folder: Path) -> dict[str, np.ndarray]:
    """Every tensor of the folder by published name, float32."""
    return {
        name: values.float().numpy()
        for file in folder.glob("*.safetensors")
        for name, values in load_file(file).items()
    }


def add_fields(writer: gguf.GGUFWriter, fields: Mapping[str, Any]) -> None:
    """Add metadata of the type that its value has: int is uint32, float is float32; None is left out."""
    for key, value in fields.items():
        if isinstance(value, np.generic):
            writer.add_key_value(key, value.item(), getattr(GGUFValueType, value.dtype.name.upper()))
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif value is not None:
            writer.add_key_value(key, value, _VALUE_TYPES[type(value)])


def add_tensor(writer: gguf.GGUFWriter, name: str, values: np.ndarray, kind: str) -> None:
    """Add a tensor in that type; in one that gguf does not write, blocks of random digits."""
    wanted = GGMLQuantizationType[kind]
    if values.ndim == 1 or kind == "F32" or values.dtype != np.float32:
        writer.add_tensor(name, values)
    elif kind in RANDOM_SCALES:
        writer.add_tensor(name, random_blocks(values.shape, kind), raw_dtype=wanted)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)


def random_blocks(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Rows of random blocks with scales that keep values around 0, a tenth or so wide."""
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    rows, columns = shape
    random = np.random.default_rng(rows * columns)
    blocks = random.integers(0, 256, (rows * columns // block_values, block_bytes), dtype=np.uint8)
    factors = random.uniform(0.5, 1, (len(blocks), 1))
    for place, scale in RANDOM_SCALES[kind].items():
        blocks[:, place : place + 2] = (scale * factors).astype("<f2").view(np.uint8)
    return blocks.reshape(rows, -1)


def finish(writer: gguf.GGUFWriter) -> None:
    """Write the file and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenizer_fields(folder: Path) -> Fields:
    """The tokenizer of the folder as llama.cpp's converter writes it; nothing where there is none."""
    file = folder / "tokenizer.json"
    if not file.exists():
        return {}
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    words = {index: word for word, index in tokenizer["model"]["vocab"].items()}
    tokens, types = [], []
    for index in range(max([*words, *added]) + 1):
        token = added.get(index)
        # Those that fill a vocabulary up get names that no text has.
        tokens.append(token["content"] if token else words.get(index, f"[PAD{index}]"))
        if token:
            special = token["special"] or token["content"].startswith("<|")
            types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.NORMAL if index in words else gguf.TokenType.UNUSED)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(kind) for kind in types],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in tokenizer["model"]["merges"]],
        "tokenizer.ggml.eos_token_id": next((i for i, t in added.items() if t["content"] == "<|im_end|>"), 0),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{{ raise_exception('never rendered') }}",
    }


def _network(config: Mapping[str, Any]) -> Fields:
    return {
        "general.architecture": "qwen3",
        "general.name": "Qwen3 Reranker test",
        "qwen3.block_count": config["num_hidden_layers"],
        "qwen3.context_length": config["max_position_embeddings"],
        "qwen3.embedding_length": config["hidden_size"],
        "qwen3.feed_forward_length": config["intermediate_size"],
        "qwen3.attention.head_count": config["num_attention_heads"],
        "qwen3.attention.head_count_kv": config["num_key_value_heads"],
        "qwen3.attention.key_length": config["head_dim"],
        "qwen3.attention.value_length": config["head_dim"],
        "qwen3.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "qwen3.rope.freq_base": float(config["rope_theta"]),
    }


def _head_rows(folder: Path, labels: Sequence[str]) -> np.ndarray:
    stored = values_of(folder)
    words = stored.get("lm_head.weight", stored["model.embed_tokens.weight"])
    ids = {"yes": 0, "no": 1}
    if (folder / "tokenizer.json").exists():
        ids = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    rows: np.ndarray = words[[ids[label] for label in labels]]
    return rows
