"""A plan batch by batch. Keys and values that later batches or calls read are kept, all others are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

import numpy as np

from qwen3_reranker.backends.prefix_cache import KeysValues, PrefixCache
from qwen3_reranker.plan import Batch, Plan, split


class BatchIterator(Generic[KeysValues]):
    """A plan's batches in order, and the keys and values that they pass on.

    Iterating gives each batch with the numbers of those of its segments that are to be kept. Before it takes the next
    one, the caller computes the batch and puts these into `kv_cache`. A row's last segment is never taken from `known`
    or the prefix cache, as only keys and values are kept and not final states.
    """

    def __init__(
        self,
        plan: Plan,
        max_batch_tokens: int,
        prefix_cache: PrefixCache[KeysValues],
        known: dict[int, KeysValues] | None = None,
    ) -> None:
        ends = set(plan.ends().tolist())
        #: Keys and values by segment, computed or found.
        self.kv_cache = {segment: each for segment, each in (known or {}).items() if segment not in ends}
        self._plan = plan
        self._max_batch_tokens = max_batch_tokens
        self._prefix_cache = prefix_cache
        self._cacheable = set(prefix_cache.cacheable(plan)).difference(self.kv_cache)
        for segment in self._cacheable:
            found = prefix_cache.get(plan, segment)
            if found is not None:
                self.kv_cache[segment] = found
        self._known_S = np.zeros(plan.num_segments, dtype=np.bool_)
        self._known_S[list(self.kv_cache)] = True
        #: Tokens known before the first batch, and those left to compute.
        self.cached_tokens = int(np.diff(plan.starts_S1)[self._known_S].sum())
        self.computed_tokens = plan.num_tokens - self.cached_tokens

    def __iter__(self) -> Iterator[tuple[Batch, frozenset[int]]]:
        for batch in split(self._plan, self._max_batch_tokens, self._known_S):
            admitted = self._prefix_cache.admit(self._plan, self._cacheable.intersection(batch.segments))
            yield batch, batch.keep | admitted
            for segment in sorted(admitted):
                self._prefix_cache.put(self._plan, segment, self.kv_cache[segment])
            # The prefix cache has its own bound; what only it keeps must not stay here until the run ends.
            for segment in batch.release | (admitted - batch.keep):
                del self.kv_cache[segment]
