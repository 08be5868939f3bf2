"""Runs plans on the CPU: one network, its constant prefix, and the prefixes of recent calls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.backends.cpu.constant_prefix import ConstantPrefix, compute_prefix
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.kernels import variant
from qwen3_reranker.backends.cpu.layout import lay_out
from qwen3_reranker.backends.cpu.native_engine import KeysValues, NativeEngine, Timings
from qwen3_reranker.backends.cpu.native_layers import Layers, panel_layers, stored_layers
from qwen3_reranker.backends.cpu.network import Network
from qwen3_reranker.backends.cpu.panels import DIGITS, open_panels
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.backends.prefix_cache import PrefixCache
from qwen3_reranker.backends.schedule import Schedule
from qwen3_reranker.plan import Plan, cut_long_segments
from qwen3_reranker.weights import Checkpoint

# Below this, rounding the weights anew takes less time than finding them on disk is worth.
_WORTH_CACHING = 64 << 20


class CpuBackend:
    """Runs plans of one checkpoint.

    precision: "float32", "int8" or "int8x2". kernels: "native", or the name of a variant.
    max_batch_tokens: tokens computed at once. prefix_cache_tokens: tokens kept between calls, 0 for none.
    num_threads: None for as many as the process may use. constant_prefix: tokens that every row begins with; below
    float32 they are computed in float32 all the same. disk_cache: keep packed 8-bit weights on disk.
    Raises UnavailableError for kernels that this installation or processor lacks.
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
        self._num_threads = num_threads or usable_cpus()
        self._constant: ConstantPrefix | None = None
        if precision == "float32":
            engine = NativeEngine(checkpoint.config, stored_layers(checkpoint), variant(kernels), self._num_threads)
        else:
            cache = DiskCache(checkpoint, disk_cache and checkpoint.num_bytes >= _WORTH_CACHING)
            chosen = variant(kernels)
            engine = _panel_engine(checkpoint, chosen, self._num_threads, cache, DIGITS[precision])
            if constant_prefix is not None and len(constant_prefix):
                self._constant = compute_prefix(checkpoint, constant_prefix, cache, chosen, self._num_threads)
        self._network = Network(checkpoint, engine)
        self._cache = PrefixCache[KeysValues](prefix_cache_tokens)
        #: Tokens that went through the network since the start.
        self.computed_tokens = 0

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The final state of each row's last token, batch by batch.

        Memory grows with max_batch_tokens, not with the plan.
        """
        plan = cut_long_segments(plan, self._max_batch_tokens)
        known = self._constant.segments(plan) if self._constant else None
        schedule = Schedule(plan, self._max_batch_tokens, self._cache, known)
        hidden_ND = np.empty((plan.num_rows, self._network.config.hidden_size), dtype=np.float32)
        done = 0
        for batch, keep in schedule:
            if done:
                yield
            layout = lay_out(plan, batch, schedule.kept, self._num_threads)
            for segment in keep:
                schedule.kept[segment] = self._network.room(len(plan.tokens(segment)))

            def advance(share: float, before: int = done, tokens: int = len(layout.tokens_T)) -> None:
                if on_progress:
                    on_progress((before + share * tokens) / schedule.computed_tokens)

            # Damaged weights overflow in silence: the head refuses what is not finite.
            with np.errstate(over="ignore", invalid="ignore"):
                hidden_ND[batch.rows_M] = self._network.run(layout, schedule.kept, advance)
            done += len(layout.tokens_T)
            self.computed_tokens += len(layout.tokens_T)
        return Executed(hidden_ND, schedule.computed_tokens, schedule.cached_tokens)

    def timings(self) -> Timings:
        """What the time of all threads went to since the start."""
        return self._network.engine.timings()

    def close(self) -> None:
        """Drop the weights, the constant prefix and the cache, end the threads; nothing runs afterwards."""
        self._network.close()
        self._constant = None
        self._cache.clear()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """Itself, without what was half written."""
        if interrupted:
            self._cache.clear()
            self._network.engine.renew()
        return self


def _panel_engine(checkpoint: Checkpoint, chosen: str, num_threads: int, cache: DiskCache, digits: int) -> NativeEngine:
    engine = NativeEngine(checkpoint.config, Layers([], set()), chosen, num_threads)
    panels = open_panels(checkpoint, cache, engine.kernels)
    engine.layers = panel_layers(checkpoint, panels, digits)
    return engine
