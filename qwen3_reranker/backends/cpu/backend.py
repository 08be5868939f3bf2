"""Runs a plan batch by batch: what later batches or calls will read is kept, everything else is forgotten."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.backends.base import Executed, OnProgress
from qwen3_reranker.backends.cpu.layout import lay_out
from qwen3_reranker.backends.cpu.network import Kept, Network
from qwen3_reranker.backends.cpu.prefix_cache import PrefixCache
from qwen3_reranker.backends.cpu.threads import Threads, usable_cpus
from qwen3_reranker.plan import Plan, cut_long_segments, split
from qwen3_reranker.weights import Checkpoint


class CpuBackend:
    """Runs plans of one checkpoint in float32.

    max_batch_tokens: tokens computed at once. prefix_cache_tokens: tokens kept between calls, 0 for none.
    num_threads: None for as many as the process may use.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        max_batch_tokens: int,
        prefix_cache_tokens: int,
        num_threads: int | None = None,
    ) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._threads = Threads(num_threads or usable_cpus())
        self._network = Network(checkpoint, self._threads)
        self._cache = PrefixCache(prefix_cache_tokens)

    def run(self, plan: Plan, on_progress: OnProgress | None = None) -> Executed:
        """The final state of each row's last token; memory grows with max_batch_tokens, not with the plan."""
        plan = cut_long_segments(plan, self._max_batch_tokens)
        wanted = set(self._cache.wants(plan))
        kept: Kept = {segment: found for segment in wanted if (found := self._cache.get(plan, segment)) is not None}
        known_S = np.zeros(plan.num_segments, dtype=np.bool_)
        known_S[list(kept)] = True
        cached_tokens = int(np.diff(plan.starts_S1)[known_S].sum())
        computed_tokens = plan.num_tokens - cached_tokens
        hidden_ND = np.empty((plan.num_rows, self._network.config.hidden_size), dtype=np.float32)
        done = 0
        for batch in split(plan, self._max_batch_tokens, known_S):
            layout = lay_out(plan, batch, kept, self._threads.num_threads)
            new = wanted.intersection(batch.segments)
            for segment in batch.keep | new:
                kept[segment] = self._network.room(len(plan.tokens(segment)))

            def advance(share: float, before: int = done, tokens: int = len(layout.tokens_T)) -> None:
                if on_progress:
                    on_progress((before + share * tokens) / computed_tokens)

            with self._threads.undisturbed():
                hidden_ND[batch.rows_M] = self._network.run(layout, kept, advance)
            done += len(layout.tokens_T)
            for segment in new:
                self._cache.put(plan, segment, kept[segment])
            # The cache has its own bound; what only it wants must not stay here until the run ends.
            for segment in batch.release | (new - batch.keep):
                del kept[segment]
        return Executed(hidden_ND, computed_tokens, cached_tokens)

    def close(self) -> None:
        """Drop the weights and the cache, end the threads."""
        self._network.close()
        self._cache.clear()
        self._threads.close()
