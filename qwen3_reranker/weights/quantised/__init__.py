"""Quantised matrices in safetensors: which format a configuration names, and tensors that are decoded when read."""

from __future__ import annotations

from qwen3_reranker.weights.quantised.quantisation import Quantisation, read_quantisation
from qwen3_reranker.weights.quantised.quantised_tensor import QuantisedTensor

__all__ = ["Quantisation", "QuantisedTensor", "read_quantisation"]
