"""Packed, shared prefixes on the CPU: numpy arrays in float32, keys and values kept between batches and calls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.backend import CpuBackend
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.weights import Checkpoint

__all__ = ["CpuBackend", "open_backend"]


def open_backend(checkpoint: Checkpoint, options: EngineOptions, constant_prefix: NDArray[np.int32]) -> CpuBackend:
    """The checkpoint's network as the options say; constant_prefix: tokens that every row begins with."""
    return CpuBackend(
        checkpoint,
        max_batch_tokens=options.batch_tokens,
        prefix_cache_tokens=options.prefix_cache_tokens,
        num_threads=options.num_threads,
        precision=options.precision,
        kernels=options.kernels,
        constant_prefix=constant_prefix,
        disk_cache=options.disk_cache,
    )
