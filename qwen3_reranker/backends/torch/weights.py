"""Checkpoint -> Qwen3ForPooling on a device, tensor by tensor. `merged` is the form that only runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from qwen3_reranker.backends.torch.float8 import round_matrices
from qwen3_reranker.backends.torch.qwen3 import Qwen3DecoderLayer, Qwen3ForPooling, Qwen3RMSNorm
from qwen3_reranker.weights import Checkpoint, is_plain
from qwen3_reranker.weights import Tensor as CheckpointTensor

_AS_STORED = {"BF16": torch.bfloat16, "F16": torch.float16}


def load(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    merged: bool = False,
    float8: bool = False,
) -> Qwen3ForPooling:
    """The network of a checkpoint: matrices and word vectors in `dtype`, norms in float32.

    merged: in the form that only runs, see `merge_projections`; otherwise every parameter has its published name and
        can be trained.
    float8: round each layer's matrices to 8 bits when they are loaded, in the form that only runs.
    Raises CheckpointError for files that have changed, torch.OutOfMemoryError where the device is too small.
    """
    with torch.device("meta"):
        network = Qwen3ForPooling(checkpoint.config, dtype)
    names = {id(module): name for name, module in network.named_modules()}
    for module in _modules(network):
        state = {
            name: _read(checkpoint.tensors[f"{names[id(module)]}.{name}"], device, _dtype_of(module, name, dtype))
            for name, _ in module.named_parameters()
        }
        module.load_state_dict(state, assign=True)
        if merged:
            module.requires_grad_(False)
            if isinstance(module, Qwen3DecoderLayer):
                merge_projections(module, last=module is network.model.layers[-1])
        if float8 and isinstance(module, Qwen3DecoderLayer):
            round_matrices(module)
    return network.to(device)


def merge_projections(layer: Qwen3DecoderLayer, *, last: bool) -> None:
    """Make one matrix of those that multiply the same states.

    In the last layer queries stay apart, as few tokens have them.
    """
    attention, mlp = layer.self_attn, layer.mlp
    mlp.gate_up_proj = _joined(mlp.gate_proj, mlp.up_proj)
    del mlp.gate_proj, mlp.up_proj
    if not last:
        attention.qkv_proj = _joined(attention.q_proj, attention.k_proj, attention.v_proj)
        del attention.q_proj, attention.k_proj, attention.v_proj


def _modules(network: Qwen3ForPooling) -> Iterator[nn.Module]:
    yield network.model.embed_tokens
    yield from network.model.layers
    yield network.model.norm


def _dtype_of(module: nn.Module, name: str, dtype: torch.dtype) -> torch.dtype:
    parent = module.get_submodule(name.rpartition(".")[0])
    return torch.float32 if isinstance(parent, Qwen3RMSNorm) else dtype


def _read(tensor: CheckpointTensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    if is_plain(tensor) and tensor.dtype in _AS_STORED:
        # Half the bytes to move, and exact where the device computes in the same type.
        stored = torch.from_numpy(np.array(tensor.stored())).view(_AS_STORED[tensor.dtype]).view(tensor.shape)
        tensor.give_back_pages()
        return stored.to(device, dtype)
    return torch.from_numpy(tensor.read()).to(device, dtype)


def _joined(*matrices: nn.Linear) -> nn.Linear:
    weight = torch.cat([matrix.weight for matrix in matrices])
    joined = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    joined.weight = nn.Parameter(weight, requires_grad=False)
    return joined
