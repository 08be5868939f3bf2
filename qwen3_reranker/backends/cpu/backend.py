"""Runs plans on the CPU: one network, its constant prefix, and the prefixes of recent calls."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.backends.batches import BatchIterator
from qwen3_reranker.backends.cpu.constant_prefix import ConstantPrefix, compute_prefix
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.forward import CpuForward, KernelSeconds, KeysValues
from qwen3_reranker.backends.cpu.kernels import make_transformer, variant
from qwen3_reranker.backends.cpu.layer_weights import INT8_PRECISIONS, int8_layers, stored_layers
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.backends.prefix_cache import PrefixCache
from qwen3_reranker.plan import Plan, cut_long_segments
from qwen3_reranker.weights import Checkpoint

# Below this, rounding the weights again takes less time than finding them on disk is worth.
_WORTH_CACHING = 64 << 20
# Another thread may have been writing to these at a fork, so they are never freed.
_ABANDONED: list[Any] = []


class CpuBackend:
    """Runs plans of one checkpoint.

    precision: "float32", "bfloat16", "int8" or "int8x2". kernels: "native", or the name of a variant.
    max_batch_tokens: tokens computed at once. prefix_cache_tokens: tokens kept between calls, 0 for none.
    num_threads: None for as many as the process may use. constant_prefix: tokens that every row begins with; below
    float32 they are computed in float32 all the same. disk_cache: keep their keys and values, and packed 8-bit weights,
    on disk. Raises UnavailableError for kernels that this installation or processor lacks.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        max_batch_tokens: int,
        prefix_cache_tokens: int,
        num_threads: int | None = None,
        precision: str = "float32",
        kernels: str = "native",
        constant_prefix: NDArray[np.int32] | None = None,
        disk_cache: bool = True,
    ) -> None:
        self._max_batch_tokens = max_batch_tokens
        threads, chosen = num_threads or usable_cpus(), variant(kernels)
        self._constant_prefix: ConstantPrefix | None = None
        self._make_transformer = partial(make_transformer, checkpoint.config, chosen, threads)
        transformer = self._make_transformer()
        cache = DiskCache(checkpoint, disk_cache and precision != "float32" and checkpoint.num_bytes >= _WORTH_CACHING)
        if precision in INT8_PRECISIONS:
            layers = int8_layers(checkpoint, precision, cache, transformer)
        else:
            layers = stored_layers(checkpoint, precision)
        if precision != "float32" and constant_prefix is not None and len(constant_prefix):
            self._constant_prefix = compute_prefix(checkpoint, constant_prefix, cache, chosen, threads)
        self._forward = CpuForward(checkpoint, transformer, layers)
        self._prefix_cache = PrefixCache[KeysValues](prefix_cache_tokens)
        #: Tokens that went through the network since the start.
        self.computed_tokens = 0

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The final state of each row's last token, batch by batch.

        Memory grows with max_batch_tokens, not with the plan.
        """
        plan = cut_long_segments(plan, self._max_batch_tokens)
        known = self._constant_prefix.segments(plan) if self._constant_prefix else None
        batches = BatchIterator(plan, self._max_batch_tokens, self._prefix_cache, known)
        hidden_ND = np.empty((plan.num_rows, self._forward.config.hidden_size), dtype=np.float32)
        done = 0
        for batch, keep in batches:
            if done:
                yield
            for segment in keep:
                batches.kv_cache[segment] = self._forward.new_kv(len(plan.tokens(segment)))
            tokens = sum(len(plan.tokens(segment)) for segment in batch.segments)

            def advance(share: float, before: int = done, tokens: int = tokens) -> None:
                if on_progress:
                    on_progress((before + share * tokens) / batches.computed_tokens)

            # Damaged weights overflow in silence: the head refuses what is not finite.
            with np.errstate(over="ignore", invalid="ignore"):
                hidden_ND[batch.rows_M] = self._forward(plan, batch, batches.kv_cache, advance)
            done += tokens
            self.computed_tokens += tokens
        return Executed(hidden_ND, batches.computed_tokens, batches.cached_tokens)

    def kernel_seconds(self) -> KernelSeconds:
        """What the time of all threads went to since the start."""
        return self._forward.seconds()

    def close(self) -> None:
        """Drop the weights, the constant prefix and the cache, end the threads; nothing runs afterwards."""
        self._forward.close()
        self._constant_prefix = None
        self._prefix_cache.clear()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """Itself, without what was half written."""
        if interrupted:
            self._prefix_cache.clear()
            _ABANDONED.append(self._forward.transformer)
            self._forward.transformer = self._make_transformer()
        return self
