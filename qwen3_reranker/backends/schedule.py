"""A plan batch by batch: what later batches or calls will read is kept, everything else is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

import numpy as np

from qwen3_reranker.backends.prefix_cache import KeysValues, PrefixCache
from qwen3_reranker.plan import Batch, Plan, split


class Schedule(Generic[KeysValues]):
    """The batches of one plan in order, and the keys and values that they hand on.

    Iterating gives each batch with the numbers of those of its segments that are to be kept; before the next one is
    asked for, the caller computes the batch and puts these into `kept`. A row's last segment is never taken from
    `known` or the cache, as only keys and values are kept and not final states.
    """

    def __init__(
        self,
        plan: Plan,
        max_batch_tokens: int,
        cache: PrefixCache[KeysValues],
        known: dict[int, KeysValues] | None = None,
    ) -> None:
        ends = set(plan.ends().tolist())
        #: Segments whose keys and values are there, computed or found.
        self.kept = {segment: each for segment, each in (known or {}).items() if segment not in ends}
        self._plan = plan
        self._max_batch_tokens = max_batch_tokens
        self._cache = cache
        self._wanted = set(cache.wants(plan)).difference(self.kept)
        for segment in self._wanted:
            found = cache.get(plan, segment)
            if found is not None:
                self.kept[segment] = found
        self._known_S = np.zeros(plan.num_segments, dtype=np.bool_)
        self._known_S[list(self.kept)] = True
        #: Tokens known before the first batch, and those left to compute.
        self.cached_tokens = int(np.diff(plan.starts_S1)[self._known_S].sum())
        self.computed_tokens = plan.num_tokens - self.cached_tokens

    def __iter__(self) -> Iterator[tuple[Batch, frozenset[int]]]:
        for batch in split(self._plan, self._max_batch_tokens, self._known_S):
            new = self._cache.lasting(self._plan, self._wanted.intersection(batch.segments))
            yield batch, batch.keep | new
            for segment in sorted(new):
                self._cache.put(self._plan, segment, self.kept[segment])
            # The cache has its own bound; what only it wants must not stay here until the run ends.
            for segment in batch.release | (new - batch.keep):
                del self.kept[segment]
