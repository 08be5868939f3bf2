"""A .gguf file -> Checkpoint: its network, its weights, and the rows that judge.

Keys and names: gguf-py/gguf/constants.py and conversion/qwen.py of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError, UnsupportedModelError
from qwen3_reranker.json_object import shown
from qwen3_reranker.weights import names
from qwen3_reranker.weights.checkpoint import Checkpoint, ScoreHead
from qwen3_reranker.weights.encodings import ENCODINGS
from qwen3_reranker.weights.gguf_header import GgufHeader
from qwen3_reranker.weights.gguf_metadata import Metadata
from qwen3_reranker.weights.gguf_parts import read_whole_header
from qwen3_reranker.weights.gguf_tokenizer import read_gguf_tokenizer
from qwen3_reranker.weights.stored_prompt import NOTHING_STORED, prompt_of_gguf
from qwen3_reranker.weights.tensor import StoredTensor, Tensor
from qwen3_reranker.weights.tracked_tensors import TrackedTensors

_ARCHITECTURE = "qwen3"
_POOLING = "qwen3.pooling_type"
# llama_pooling_type of llama.h. Files of judges say rank, or nothing where their converter did not know them.
_LAST_TOKEN, _OTHER_POOLINGS = 3, {1: "mean", 2: "cls"}
_LABELS = "qwen3.classifier.output_labels"
_CLASSIFIER, _DIVISORS = "cls.output.weight", "rope_freqs.weight"
# A dense layer or a norm before the classifier, or a number added after it: none of it is in a Qwen3-Reranker.
_OTHER_CLASSIFIERS = ("cls.weight", "cls.bias", "cls.norm.weight", "cls.output.bias")
# For each field of config.json the one of GGUF; the shortest way to one set of checks.
_WHOLE = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "head_dim": "attention.key_length",
}
_NUMBERS = {"rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base"}
# Fields that must repeat the width of a head where they are given.
_HEAD_WIDTHS = ("attention.value_length", "rope.dimension_count")
_LOG = logging.getLogger(__name__)


def open_gguf(path: Path, name: str) -> Checkpoint:
    """The checkpoint in a GGUF file, or in several of which `path` is one. Raises CheckpointError naming what is wrong.

    Where the file has no classifier the head is rebuilt from its word vectors, with a warning: files converted before
    llama.cpp knew Qwen3-Reranker are like that.
    """
    header = read_whole_header(path)
    present = TrackedTensors(header.tensors)
    header = replace(header, tensors=present)
    config = _config(header)
    embedding = _is_embedding(header)
    if embedding:
        config = replace(config, tie_word_embeddings=True)
    tensors = {
        published: _tensor(header, published, names.gguf_name(published), shape)
        for published, shape in names.expected_shapes(config)
    }
    head = None if embedding else _head(header, config, tensors)
    _refuse_scaled_positions(header)
    spared = (names.gguf_name(names.HEAD),) if embedding else ()
    present.refuse_unread(path, f"{_ARCHITECTURE}.block_count", config.num_hidden_layers, spared)
    stored = NOTHING_STORED if embedding else prompt_of_gguf(header.metadata, has_head=_CLASSIFIER in header.tensors)
    if head is not None and head.note and not stored.unknown:
        source = names.gguf_name(head.tensor.name)
        _LOG.warning(
            "%s: no tensor %r: the head is rebuilt from the rows of yes and no in %s", path, _CLASSIFIER, source
        )
    return Checkpoint(
        name,
        path.parent,
        "embedding" if embedding else "gguf",
        config,
        tensors,
        head,
        lambda: read_gguf_tokenizer(header.metadata),
        stored_prompt=stored,
        instruction=stored.instruction,
    )


def _is_embedding(header: GgufHeader) -> bool:
    """Whether the file holds no judge and says that it pools the last token's state."""
    metadata = header.metadata
    if _CLASSIFIER in header.tensors or _POOLING not in metadata:
        return False
    kind = metadata.whole(_POOLING)
    if kind in _OTHER_POOLINGS:
        raise CheckpointError(
            f"{metadata.path}: {_POOLING} is {kind} ({_OTHER_POOLINGS[kind]}); a Qwen3-Embedding has {_LAST_TOKEN} "
            "(last token), and other poolings are not run"
        )
    return kind == _LAST_TOKEN


def _config(header: GgufHeader) -> ModelConfig:
    metadata, where = header.metadata, header.source.path
    architecture = metadata.text("general.architecture")
    if architecture != _ARCHITECTURE:
        raise UnsupportedModelError(
            f"{where}: general.architecture is {shown(architecture)}: another architecture, not a Qwen3 network "
            f"('{_ARCHITECTURE}'), which alone is run; nothing is damaged, so take a GGUF of a Qwen3-Reranker"
        )
    embedding = header.tensors.get(names.gguf_name(names.EMBEDDING))
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError(f"{where}: tensor 'token_embd.weight' must be there and have two dimensions")
    config = ModelConfig.from_json(
        {
            **{field: metadata.whole(f"{_ARCHITECTURE}.{key}") for field, key in _WHOLE.items()},
            **{field: metadata.number(f"{_ARCHITECTURE}.{key}") for field, key in _NUMBERS.items()},
            "model_type": _ARCHITECTURE,
            "vocab_size": embedding.shape[0],
            "rope_scaling": {"rope_type": _rope_type(metadata)},
            "tie_word_embeddings": names.gguf_name(names.HEAD) not in header.tensors,
        },
        str(where),
    )
    for key in (f"{_ARCHITECTURE}.{key}" for key in _HEAD_WIDTHS):
        if key in metadata and metadata.whole(key) != config.head_dim:
            raise CheckpointError(
                f"{where}: {key} must be {config.head_dim}, as attention.key_length, got {metadata.whole(key)}"
            )
    window = f"{_ARCHITECTURE}.attention.sliding_window"
    if window in metadata and metadata.whole(window):
        raise CheckpointError(f"{where}: {window} is set; only full attention is run")
    return config


def _rope_type(metadata: Metadata) -> str:
    """How rotary positions are scaled, as config.json says it."""
    kind, old = f"{_ARCHITECTURE}.rope.scaling.type", f"{_ARCHITECTURE}.rope.scale_linear"
    if old in metadata and metadata.number(old) != 1:
        return "linear"
    scaling = metadata.text(kind) if kind in metadata else "none"
    return "default" if scaling == "none" else scaling


def _tensor(header: GgufHeader, name: str, gguf_name: str, shape: tuple[int, ...]) -> StoredTensor:
    found = header.tensors.get(gguf_name)
    where = f"{(found or header).source.path}: tensor {gguf_name!r}"
    if found is None:
        raise CheckpointError(
            f"{where} is missing ({len(header.tensors)} others are there); the file is incomplete or no Qwen3, and "
            "weights are never made up: fetch it again"
        )
    if found.type not in ENCODINGS:
        raise CheckpointError(
            f"{where}: type must be one of {', '.join(ENCODINGS)}, got {found.type}; "
            "use a file with another quantisation"
        )
    if found.shape != shape:
        raise CheckpointError(
            f"{where}: expected shape {list(shape)} from the metadata, got {shown(list(found.shape))}; "
            "metadata and weights are not of one model"
        )
    return StoredTensor(name, shape, found.type, found.source, found.offset, found.num_bytes)


def _refuse_scaled_positions(header: GgufHeader) -> None:
    """Raise CheckpointError unless the divisors of rotary frequencies, where a file holds them, divide by 1."""
    found = header.tensors.get(_DIVISORS)
    if found is not None and (_tensor(header, _DIVISORS, _DIVISORS, found.shape).read() != 1).any():
        raise CheckpointError(
            f"{header.source.path}: tensor {_DIVISORS!r} scales rotary positions, which is not run; use a file of a "
            "model without it"
        )


def _head(header: GgufHeader, config: ModelConfig, tensors: Mapping[str, Tensor]) -> ScoreHead:
    where = header.source.path
    for name in _OTHER_CLASSIFIERS:
        if name in header.tensors:
            raise CheckpointError(f"{where}: holds tensor {name!r}; the head of a Qwen3-Reranker is one matrix alone")
    classifier = header.tensors.get(_CLASSIFIER)
    if classifier is not None:
        # Programs of ggml leave trailing dimensions of 1 out.
        rows = classifier.shape[0] if len(classifier.shape) > 1 else 1
        shape = (rows, config.hidden_size)
        tensor = _tensor(header, _CLASSIFIER, _CLASSIFIER, shape[-len(classifier.shape) :])
        return ScoreHead(replace(tensor, shape=shape), _label_rows(header.metadata, rows))
    words = tensors[names.EMBEDDING if config.tie_word_embeddings else names.HEAD]
    source = names.gguf_name(words.name)
    return ScoreHead(words, note=f"rebuilt from {source}, as the file has no {_CLASSIFIER}")


def _label_rows(metadata: Metadata, rows: int) -> tuple[int, ...]:
    """The rows of yes and of no, or the one row that is their difference. Their order differs between converters."""
    labels = [label.strip().lower() for label in metadata.texts(_LABELS)] if _LABELS in metadata else []
    if rows == 1 and len(labels) <= 1 and labels != ["no"]:
        return (0,)
    if len(labels) == rows and labels.count("yes") == labels.count("no") == 1:
        return labels.index("yes"), labels.index("no")
    raise CheckpointError(
        f"{metadata.path}: {_CLASSIFIER} has {rows} rows, so {_LABELS} must name as many, yes and no among them, "
        f"got {shown(labels) if _LABELS in metadata else 'none'}; which row judges is never guessed"
    )
