"""The network as torch modules: CUDA, Apple's GPUs and processors, float32 to 8 bits; trainable."""

from __future__ import annotations

from qwen3_reranker.backends.base import Backend
from qwen3_reranker.backends.torch.backend import TorchBackend
from qwen3_reranker.backends.torch.devices import choose_devices, number_type
from qwen3_reranker.backends.torch.network import Network
from qwen3_reranker.backends.torch.weights import load
from qwen3_reranker.weights import Checkpoint

__all__ = ["Network", "TorchBackend", "load", "open_backend"]


def open_backend(
    checkpoint: Checkpoint,
    *,
    precision: str,
    device: str | None,
    kernels: str,
    max_batch_tokens: int,
    prefix_cache_tokens: int,
    num_threads: int | None = None,
) -> Backend:
    """A backend over the checkpoint's network; options are those of config.EngineOptions.

    Raises InputError for what names no device, UnavailableError for a device or a precision that is not to be had.
    """
    [place] = choose_devices(device)
    network = load(checkpoint, place, number_type(precision, place), merged=True)
    return TorchBackend(
        network,
        max_batch_tokens=max_batch_tokens,
        prefix_cache_tokens=prefix_cache_tokens,
        num_threads=num_threads,
    )
