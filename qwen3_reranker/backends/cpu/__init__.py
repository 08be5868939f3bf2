"""Packed, shared prefixes on the CPU: numpy arrays in float32, keys and values kept between batches and calls."""

from qwen3_reranker.backends.cpu.backend import CpuBackend

__all__ = ["CpuBackend"]
