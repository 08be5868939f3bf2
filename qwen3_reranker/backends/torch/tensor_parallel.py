"""One network over several processes, each with its share of every matrix: for models that one device cannot hold.

Every process, started by torchrun, makes the same calls and gets the same results.
"""

from __future__ import annotations

import os

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from qwen3_reranker.backends.torch.network import Network
from qwen3_reranker.errors import CheckpointError, InputError


def mesh_of_processes(kind: str) -> DeviceMesh:
    """All processes that torchrun started, one device of this kind each; joins them if nobody has yet.

    Raises InputError outside torchrun.
    """
    if not distributed.is_initialized():
        if "WORLD_SIZE" not in os.environ:
            raise InputError(
                "tensor_parallel needs one process a device: start the program with torchrun --nproc-per-node N"
            )
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    return init_device_mesh(kind, (distributed.get_world_size(),))


def own_device(kind: str) -> torch.device:
    """The device of this process among those of its machine."""
    if kind != "cuda":
        return torch.device(kind)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def spread(network: Network, mesh: DeviceMesh) -> None:
    """Leave this process its share of every matrix: whole heads, and a range of the feed-forward block.

    Raises CheckpointError where the heads or the block cannot be shared out evenly.
    """
    config, count = network.config, mesh.size()
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        if getattr(config, name) % count:
            raise CheckpointError(f"{name} is {getattr(config, name)}, which {count} processes cannot share evenly")
    columns, rows = ColwiseParallel(), RowwiseParallel()
    for layer in network.model.each_layer():
        parallelize_module(
            layer,
            mesh,
            {
                "self_attn.q_proj": columns,
                "self_attn.k_proj": columns,
                "self_attn.v_proj": columns,
                "self_attn.o_proj": rows,
                "mlp.gate_proj": columns,
                "mlp.up_proj": columns,
                "mlp.down_proj": rows,
            },
        )
