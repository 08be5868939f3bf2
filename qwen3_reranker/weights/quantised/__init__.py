"""Quantised matrices in safetensors: which format a configuration names, and tensors that are decoded when read."""

from __future__ import annotations

from qwen3_reranker.weights.quantised.quantisation import Quantisation, read_quantisation

__all__ = ["Quantisation", "read_quantisation"]
