"""Running out of memory: how torch says it, and how we do, with numbers."""

from __future__ import annotations

import re

import torch

from qwen3_reranker.backends.torch.devices import memory_of
from qwen3_reranker.backends.torch.qwen3 import Qwen3ForPooling
from qwen3_reranker.errors import OutOfMemoryError

# How much was asked for: "Tried to allocate 2.00 GiB" of a GPU, "you tried to allocate 120 bytes" of a processor.
_ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ [A-Za-z]+)")
# MPS, the processor's allocator and CUDA's libraries raise a plain RuntimeError.
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is a device, or the machine, that has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def out_of_memory(
    network: Qwen3ForPooling, device: torch.device, batch_tokens: tuple[int, int], said: str
) -> OutOfMemoryError:
    """The error of a call that failed in batches of these tokens, with the numbers there are; `said`: torch's words."""
    weights = sum(each.numel() * each.element_size() for each in network.parameters())
    memory = memory_of(device)
    there = "" if memory is None else f"; {_gib(memory[0])} of {_gib(memory[1])} are free"
    asked = _ASKED.search(said)
    reason = f"it could not have another {asked[1]}" if asked else said.split("\n", 1)[0]
    first, second = batch_tokens
    return OutOfMemoryError(
        f"out of memory on {device} in batches of {first:,} tokens, and again of {second:,}: {reason}; weights take "
        f"{_gib(weights)}{there}; lower max_batch_tokens, max_length or prefix_cache_tokens"
    )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.2f} GiB"
