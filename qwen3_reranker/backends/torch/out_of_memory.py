"""Out of memory: how torch raises it, and the error that we raise, with numbers."""

from __future__ import annotations

import re

import torch

from qwen3_reranker.backends.torch.devices import memory_of
from qwen3_reranker.backends.torch.qwen3 import Qwen3ForPooling
from qwen3_reranker.errors import OutOfMemoryError

# Bytes requested: "Tried to allocate 2.00 GiB" of a GPU, "you tried to allocate 120 bytes" of a processor.
_REQUESTED = re.compile(r"[Tt]ried to allocate ([\d.]+ [A-Za-z]+)")
# MPS, the processor's allocator and CUDA's libraries raise a plain RuntimeError.
_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a device or the machine has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in _MESSAGES)


def out_of_memory(
    network: Qwen3ForPooling, device: torch.device, batch_tokens: tuple[int, int], message: str
) -> OutOfMemoryError:
    """The error of a call that failed in batches of these tokens; `message` is torch's."""
    weights = sum(each.numel() * each.element_size() for each in network.parameters())
    memory = memory_of(device)
    there = "" if memory is None else f"; {_gib(memory[0])} of {_gib(memory[1])} are free"
    requested = _REQUESTED.search(message)
    reason = f"it could not have another {requested[1]}" if requested else message.split("\n", 1)[0]
    first, second = batch_tokens
    return OutOfMemoryError(
        f"out of memory on {device} in batches of {first:,} tokens, and again of {second:,}: {reason}; weights take "
        f"{_gib(weights)}{there}; lower max_batch_tokens, max_length or prefix_cache_tokens"
    )


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.2f} GiB"
