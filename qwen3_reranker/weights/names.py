"""The one table of a Qwen3 network's weights: names and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from qwen3_reranker.config import ModelConfig

T = TypeVar("T")
U = TypeVar("U")

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"
SCORE = "score.weight"

# V words, D hidden, I feed-forward, O query heads x E, K key/value heads x E, E values of a head.
_AXES = {EMBEDDING: "VD", FINAL_NORM: "D", HEAD: "VD"}
_GGUF = {EMBEDDING: "token_embd.weight", FINAL_NORM: "output_norm.weight", HEAD: "output.weight"}
_LAYER_TABLE = (
    # ours              published                          axes  GGUF
    ("attention_norm", "input_layernorm.weight", "D", "attn_norm.weight"),
    ("query", "self_attn.q_proj.weight", "OD", "attn_q.weight"),
    ("key", "self_attn.k_proj.weight", "KD", "attn_k.weight"),
    ("value", "self_attn.v_proj.weight", "KD", "attn_v.weight"),
    ("query_norm", "self_attn.q_norm.weight", "E", "attn_q_norm.weight"),
    ("key_norm", "self_attn.k_norm.weight", "E", "attn_k_norm.weight"),
    ("output", "self_attn.o_proj.weight", "DO", "attn_output.weight"),
    ("mlp_norm", "post_attention_layernorm.weight", "D", "ffn_norm.weight"),
    ("gate", "mlp.gate_proj.weight", "ID", "ffn_gate.weight"),
    ("up", "mlp.up_proj.weight", "ID", "ffn_up.weight"),
    ("down", "mlp.down_proj.weight", "DI", "ffn_down.weight"),
)
_INSIDE = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")
_IN_FRONT = ("module.", "base_model.model.", "model.")
_GGUF_OF_LAYERS = {published: gguf for _, published, _, gguf in _LAYER_TABLE}


@dataclass(frozen=True, slots=True)
class LayerTensors(Generic[T]):
    """Something for each weight of a layer, in the order of use: names, tensors, arrays.

    Matrices are (out, in), as published: y = x @ w.T.
    """

    attention_norm: T
    query: T
    key: T
    value: T
    query_norm: T
    key_norm: T
    output: T
    mlp_norm: T
    gate: T
    up: T
    down: T

    def map(self, function: Callable[[T], U]) -> LayerTensors[U]:
        """The layer that holds `function` of each of these, e.g. names -> tensors -> arrays."""
        return LayerTensors(**{ours: function(getattr(self, ours)) for ours, _, _, _ in _LAYER_TABLE})


def layer_names(index: int) -> LayerTensors[str]:
    """The published names of layer `index`, counted from 0."""
    return LayerTensors(**{ours: f"model.layers.{index}.{published}" for ours, published, _, _ in _LAYER_TABLE})


def bare_name(published: str) -> str:
    """The name of this published weight in a network that was saved without a head."""
    return published.removeprefix("model.")


def without_wrappers(tensors: Mapping[str, T]) -> Mapping[str, T]:
    """The tensors under their names without a saved wrapper's, where those are clear.

    Read so: torch.compile's, FSDP's and activation checkpointing's words wherever they stand, and what stands in front
    of every name (data parallelism, peft, a module that held the model) until the word vectors have their own name.
    """
    found = {_INSIDE.sub("", name): tensor for name, tensor in tensors.items()}
    if len(found) < len(tensors):
        return tensors
    while not found.keys() & {EMBEDDING, bare_name(EMBEDDING)}:
        prefix = next((each for each in _IN_FRONT if all(name.startswith(each) for name in found)), None)
        if prefix is None or not found:
            return tensors
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def gguf_name(published: str) -> str:
    """What a GGUF file calls the weight of this published name."""
    if published in _GGUF:
        return _GGUF[published]
    index, _, rest = published.removeprefix("model.layers.").partition(".")
    return f"blk.{index}.{_GGUF_OF_LAYERS[rest]}"


def expected_shapes(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Published name and shape of every weight the network needs, one by one. The head only where it is untied."""
    lengths = {
        "V": config.vocab_size,
        "D": config.hidden_size,
        "I": config.intermediate_size,
        "O": config.num_attention_heads * config.head_dim,
        "K": config.num_key_value_heads * config.head_dim,
        "E": config.head_dim,
    }

    def shape(axes: str) -> tuple[int, ...]:
        return tuple(lengths[axis] for axis in axes)

    yield EMBEDDING, shape(_AXES[EMBEDDING])
    for index in range(config.num_hidden_layers):
        for _, published, axes, _ in _LAYER_TABLE:
            yield f"model.layers.{index}.{published}", shape(axes)
    yield FINAL_NORM, shape(_AXES[FINAL_NORM])
    if not config.tie_word_embeddings:
        yield HEAD, shape(_AXES[HEAD])
