"""Outliers as reported for Qwen3, written into a random float32 checkpoint of one file.

Massive activations: a few channels of the residual stream about 1,000 times the others, only at a row's first token.
Residual sinks: a few channels that are large at every token.
Attention sink: both, and heads in which every later token gives most attention to the massive first token.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint

# Channels of the residual stream, no two of a kind in one group of 64 where the network is wide enough.
MASSIVE = [2, 67, 131]
SINKS = [20, 85, 149]
# Two more channels: a mark of the token that may be first, and a mark that only a first token has.
_WORD, _FIRST = 40, 105
_NEURON = 7
# Any, to see how large the residual stream is.
_TOKENS = list(range(1, 33))
_SIGNS = np.array([1.0, -1.0, 1.0])


def write_even_checkpoint(folder: Path, **shape: int) -> Path:
    """A random float32 checkpoint with nano's tokenizer and a residual stream of one size in all layers.

    Word vectors are about as large as the sum of all layers' outputs, so an outlier in one layer is one in all.
    `shape`: options of write_checkpoint.
    """
    nano = open_checkpoint("nano")
    write_checkpoint(
        folder, tied=False, vocab_size=nano.config.vocab_size, tokenizer_file=nano.folder / "tokenizer.json", **shape
    )
    stream = residual_stream(folder, _TOKENS)
    open_weights(folder)["model.embed_tokens.weight"][:] *= stream[-1].std() / stream[0].std()
    return folder


def add_massive_activations(folder: Path, first_token: int, size: float = 1000) -> None:
    """Make the channels MASSIVE `size` times the median channel at `first_token`, where it is a row's first token.

    As in Qwen3, the feed-forward part of an early layer writes them, here layer 0. At other positions the token has no
    effect: one head of layer 0 attends to all tokens equally, and there finds at most half of the mark.
    """
    weights, layer = open_weights(folder), "model.layers.0."
    words = weights["model.embed_tokens.weight"]
    mark = 10 * spread_of(words)
    words[:, [_WORD, _FIRST]] = 0
    words[first_token, _WORD] = mark
    query, value, output = (weights[f"{layer}self_attn.{name}_proj.weight"] for name in "qvo")
    query[: len(weights[layer + "self_attn.q_norm.weight"])] = 0
    value[0] = 0
    value[0, _WORD] = 1
    gains = weights[layer + "input_layernorm.weight"]
    seen = mark * gains[_WORD] / np.sqrt(np.mean(words[first_token] ** 2))
    output[[_WORD, _FIRST]] = 0
    output[_FIRST, 0] = mark / seen
    # The gate opens where more than three quarters of the mark came back.
    gains = weights[layer + "post_attention_layernorm.weight"]
    gate, up, down = (weights[f"{layer}mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
    gate[_NEURON] = up[_NEURON] = 0
    gate[_NEURON, [_FIRST, _WORD]] = np.array([100, -75]) / mark / gains[[_FIRST, _WORD]]
    up[_NEURON, _WORD] = 1 / gains[_WORD]
    down[MASSIVE, _NEURON] = _SIGNS
    x_D = np.abs(residual_stream(folder, [first_token])[1][0])
    down[MASSIVE, _NEURON] *= size * np.median(x_D) / np.mean(x_D[MASSIVE])


def add_residual_sinks(folder: Path, size: float = 30) -> None:
    """Make the channels SINKS about `size` times the median channel at every token, after every layer.

    The word vectors hold them, equal for all words. The network's function stays about the same: norms divide by them,
    so the norms' weights of all other channels rise, and matrices read the sinks with weights a hundredth as large.
    """
    stream = residual_stream(folder, _TOKENS)
    squares = [float(np.mean(x_TD**2)) for x_TD in stream]
    value = size * float(np.median(np.abs(stream[-1])))
    weights = open_weights(folder)
    words = weights["model.embed_tokens.weight"]
    words[:, SINKS] = value
    added = len(SINKS) * value**2 / words.shape[1]
    others = np.delete(np.arange(words.shape[1]), SINKS)
    weights["model.norm.weight"][others] *= np.sqrt(1 + added / squares[-1])
    for index, (before, after) in enumerate(pairwise(squares)):
        layer = f"model.layers.{index}."
        weights[layer + "input_layernorm.weight"][others] *= np.sqrt(1 + added / before)
        weights[layer + "post_attention_layernorm.weight"][others] *= np.sqrt(1 + 2 * added / (before + after))
        for name in ("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up"):
            weights[f"{layer}{name}_proj.weight"][:, SINKS] *= 0.01


def add_attention_sink(folder: Path, first_token: int) -> None:
    """Massive activations, residual sinks, and attention sinks in half of the heads after layer 0.

    The massive channels give the first token a key, and the sinks give every token the matching query. The value is
    small, because the massive channels' parts cancel. This is the reported purpose of massive activations.
    """
    add_residual_sinks(folder)
    add_massive_activations(folder, first_token)
    weights = open_weights(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    groups, head_dim = config["num_key_value_heads"], config["head_dim"]
    # The rotary pair that turns slowest keeps its angle over any distance that matters here.
    slowest = head_dim // 2 - 1
    for index in range(1, config["num_hidden_layers"]):
        query, key, value = (weights[f"model.layers.{index}.self_attn.{name}_proj.weight"] for name in "qkv")
        value[:, MASSIVE[-1]] = -_SIGNS[-1] * (value[:, MASSIVE[:-1]] @ _SIGNS[:-1])
        strength = 25 * spread_of(key)
        key.reshape(groups, head_dim, -1)[::2, slowest, MASSIVE] = strength * _SIGNS
        query.reshape(groups, -1, head_dim, query.shape[1])[::2, :, slowest, SINKS] = strength


def residual_stream(folder: Path, tokens: list[int]) -> list[np.ndarray]:
    """The reference's residual stream of one row: word vectors, then each layer's output, (tokens, hidden) float64."""
    return list(ReferenceBackend(open_checkpoint(folder)).residual_stream(np.array(tokens, dtype=np.int32)))


def open_weights(folder: Path) -> dict[str, np.memmap]:
    """The tensors of a float32 checkpoint of one file by name; writing to one writes to the file."""
    path = folder / "model.safetensors"
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    return {
        name: np.memmap(path, "<f4", "r+", start + entry["data_offsets"][0], tuple(entry["shape"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def spread_of(matrix: np.ndarray) -> float:
    """The standard deviation of a normal random matrix, outliers left out."""
    return float(np.median(np.abs(matrix[:100]))) / 0.6745
