"""LoRA adapters of the network's matrices, with peft's names.

Source: arXiv 2106.09685, section 4. Shapes: T tokens, I inputs, O outputs, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from qwen3_reranker.backends.torch import Qwen3ForPooling

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraLinear(nn.Module):
    """A frozen matrix with a trainable adapter: x W^T + scale * (x A^T) B^T. A and B are float32."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale, self.enabled = scale, True
        self.dropout = nn.Dropout(dropout)
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        # As peft does. B is zero, so the network starts unchanged.
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x_TI: Tensor) -> Tensor:
        """(T, O)."""
        out_TO: Tensor = self.base(x_TI)
        if not self.enabled:
            return out_TO
        low_TR = functional.linear(self.dropout(x_TI), self.lora_A.to(x_TI.dtype))
        return out_TO + self.scale * functional.linear(low_TR, self.lora_B.to(x_TI.dtype))


def add_lora(network: Qwen3ForPooling, rank: int, alpha: float, dropout: float) -> None:
    """Freeze the network and add an adapter to every matrix of its layers."""
    network.requires_grad_(False)
    for layer in network.model.each_layer():
        for part in (layer.self_attn, layer.mlp):
            for name, module in list(part.named_children()):
                if name in TARGETS:
                    assert isinstance(module, nn.Linear)
                    setattr(part, name, LoraLinear(module, rank, alpha / rank, dropout))


def adapters(network: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Each adapter with the published name of its matrix, without `.weight`."""
    for name, module in network.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


@contextmanager
def switched_off(network: nn.Module) -> Iterator[None]:
    """Disable all adapters inside the block."""
    found = [module for _, module in adapters(network)]
    for module in found:
        module.enabled = False
    try:
        yield
    finally:
        for module in found:
            module.enabled = True
