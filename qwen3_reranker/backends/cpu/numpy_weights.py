"""Checkpoint tensors -> the float32 matrices a layer multiplies by, with those that read the same input joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.weights import Checkpoint, Tensor

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class LayerWeights:
    """One layer. Matrices are (outputs, inputs); q, k, v and gate, up are stacked along outputs."""

    attention_norm_D: Floats
    qkv_OD: Floats
    q_norm_E: Floats
    k_norm_E: Floats
    o_DO: Floats
    mlp_norm_D: Floats
    gate_up_2ID: Floats
    down_DI: Floats


def read_layers(checkpoint: Checkpoint) -> list[LayerWeights]:
    """Every layer, widened to float32 tensor by tensor."""
    return [_read_layer(checkpoint, layer) for layer in range(checkpoint.config.num_hidden_layers)]


def _read_layer(checkpoint: Checkpoint, index: int) -> LayerWeights:
    tensors = checkpoint.layer(index)
    return LayerWeights(
        attention_norm_D=tensors.attention_norm.read(),
        qkv_OD=_stacked(tensors.query, tensors.key, tensors.value),
        q_norm_E=tensors.query_norm.read(),
        k_norm_E=tensors.key_norm.read(),
        o_DO=tensors.output.read(),
        mlp_norm_D=tensors.mlp_norm.read(),
        gate_up_2ID=_stacked(tensors.gate, tensors.up),
        down_DI=tensors.down.read(),
    )


def _stacked(*tensors: Tensor) -> Floats:
    stacked = np.empty((sum(tensor.shape[0] for tensor in tensors), tensors[0].shape[1]), dtype=np.float32)
    start = 0
    for tensor in tensors:
        tensor.read(out=stacked[start : start + tensor.shape[0]])
        start += tensor.shape[0]
    return stacked
