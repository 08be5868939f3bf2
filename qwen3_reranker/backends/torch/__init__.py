"""The network as torch modules: CUDA, Apple's GPUs and processors, float32 to 8 bits; trainable."""

from __future__ import annotations

from qwen3_reranker.backends.torch.backend import TorchBackend, open_backend
from qwen3_reranker.backends.torch.qwen3 import Qwen3ForPooling
from qwen3_reranker.backends.torch.weights import load

__all__ = ["Qwen3ForPooling", "TorchBackend", "load", "open_backend"]
