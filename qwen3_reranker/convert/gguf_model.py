"""A model -> metadata and tensors of a GGUF file that llama.cpp can rank with.

Source: conversion of Qwen3 rerankers in convert_hf_to_gguf.py of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen3_reranker.convert.gguf_file import Value
from qwen3_reranker.convert.output_tensor import OutputTensor
from qwen3_reranker.convert.source_model import END_OF_TEXT, END_OF_TURN, EncodingOf, SourceModel
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import shown
from qwen3_reranker.weights import names

_RANK_POOLING = 4
_FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def gguf_model(model: SourceModel, encoding_of: EncodingOf) -> tuple[dict[str, Value], list[OutputTensor]]:
    """Metadata by key, and the tensors. The rows of yes and no are one extra float32 tensor."""
    tensors = [
        OutputTensor(names.gguf_name(tensor.name), tensor.encoding, tensor.values)
        for tensor in model.network(encoding_of)
    ]
    tensors.append(OutputTensor("cls.output.weight", "F32", model.head_rows_2D))
    matrices = encoding_of(model.checkpoint.layer(0).query)
    return {**_network(model, matrices), **_words(model), **_judge(model)}, tensors


def _network(model: SourceModel, matrices: str) -> dict[str, Value]:
    config = model.config
    return {
        "general.architecture": "qwen3",
        "general.type": "model",
        "general.name": model.checkpoint.folder.name,
        "general.file_type": _FILE_TYPES.get(matrices, 0),
        "general.quantization_version": 2,
        "qwen3.block_count": config.num_hidden_layers,
        "qwen3.context_length": config.max_position_embeddings,
        "qwen3.embedding_length": config.hidden_size,
        "qwen3.feed_forward_length": config.intermediate_size,
        "qwen3.attention.head_count": config.num_attention_heads,
        "qwen3.attention.head_count_kv": config.num_key_value_heads,
        "qwen3.attention.key_length": config.head_dim,
        "qwen3.attention.value_length": config.head_dim,
        "qwen3.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "qwen3.rope.freq_base": config.rope_theta,
    }


def _judge(model: SourceModel) -> dict[str, Value]:
    template = model.template
    return {
        "qwen3.pooling_type": _RANK_POOLING,
        "qwen3.classifier.output_labels": ["yes", "no"],
        "tokenizer.chat_templates": ["rerank"],
        "tokenizer.chat_template.rerank": template.written(template.default_instruction or "", "{query}", "{document}"),
    }


def _words(model: SourceModel) -> dict[str, Value]:
    fields = model.tokenizer_fields
    _refuse_flags(model)
    added = {token["id"]: token for token in fields["added_tokens"]}
    content = {index: word for word, index in fields["model"]["vocab"].items()}
    content |= {index: token["content"] for index, token in added.items()}
    # The network may have more word vectors than the tokenizer has tokens; llama.cpp wants a name for each.
    indices = range(model.config.vocab_size)
    merges = fields["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": [content.get(index, f"[PAD{index}]") for index in indices],
        "tokenizer.ggml.token_type": [_kind(index, added, content) for index in indices],
        "tokenizer.ggml.merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        "tokenizer.ggml.bos_token_id": model.control_id(END_OF_TEXT),
        "tokenizer.ggml.eos_token_id": model.control_id(END_OF_TURN),
        "tokenizer.ggml.padding_token_id": model.control_id(END_OF_TEXT),
        "tokenizer.ggml.add_bos_token": False,
    }


def _refuse_flags(model: SourceModel) -> None:
    for token in model.tokenizer_fields["added_tokens"]:
        flags = [flag for flag in ("lstrip", "rstrip", "single_word") if token.get(flag)]
        if flags and token["content"] in model.tokens.added_words:
            raise CheckpointError(
                f"{model.checkpoint.tokenizer.source}: the added word {shown(token['content'])} is found by "
                f"{' and '.join(flags)}, which GGUF cannot say; convert to another layout"
            )


def _kind(index: int, added: Mapping[int, Any], content: Mapping[int, str]) -> int:
    if index in added:
        return _CONTROL if added[index].get("special") else _USER_DEFINED
    return _NORMAL if index in content else _UNUSED
