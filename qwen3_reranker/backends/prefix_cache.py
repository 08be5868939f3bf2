"""Keys and values of recent prefixes and query heads, kept between calls. The least recently used goes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

import numpy as np

from qwen3_reranker.plan import Plan

#: What a backend keeps of a segment: its keys and values in every layer, as an array of the backend's own kind.
KeysValues = TypeVar("KeysValues")
# Cache salt, first position, and all tokens up to the end: another plan may cut the same prefix into other segments, so
# the tokens without the position do not name an entry.
Key = tuple[int, int, bytes]


class PrefixCache(Generic[KeysValues]):
    """Segments by cache salt, start and all tokens from the root. None is mistaken so."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._held_tokens = 0
        self._entries: OrderedDict[Key, tuple[int, KeysValues]] = OrderedDict()

    def cacheable(self, plan: Plan) -> list[int]:
        """The segments of a plan that may be in the cache.

        They are reusable, not too long, and no row's end: only keys and values are kept, not a row's final state.
        """
        fitting_S = plan.reusable_S & (np.diff(plan.starts_S1) <= self._max_tokens)
        return [int(segment) for segment in np.setdiff1d(np.flatnonzero(fitting_S), plan.ends())]

    def admit(self, plan: Plan, segments: set[int]) -> set[int]:
        """The segments of a batch that would stay if all were put: the last, and their ancestors.

        Memory for the others would grow with the batch's queries and not with the bound.
        """
        lengths_S = np.diff(plan.starts_S1)
        chosen: set[int] = set()
        left = self._max_tokens
        for segment in sorted(segments, reverse=True):
            more = segments.intersection((segment, *plan.ancestors(segment))) - chosen
            left -= int(lengths_S[list(more)].sum())
            if left < 0:
                break
            chosen |= more
        return chosen

    def get(self, plan: Plan, segment: int) -> KeysValues | None:
        """Keys and values of the segment after its ancestors, or None."""
        entry = self._entries.get(_key(plan, segment))
        if entry is None:
            return None
        self._touch(plan, segment)
        return entry[1]

    def put(self, plan: Plan, segment: int, keys_values: KeysValues) -> None:
        """Keep a segment, and drop the least recently used ones until the bound holds."""
        key = _key(plan, segment)
        if key not in self._entries:
            tokens = len(plan.tokens(segment))
            self._entries[key] = tokens, keys_values
            self._held_tokens += tokens
        self._touch(plan, segment)
        while self._held_tokens > self._max_tokens:
            _, (tokens, _) = self._entries.popitem(last=False)
            self._held_tokens -= tokens

    def _touch(self, plan: Plan, segment: int) -> None:
        # Ancestors after descendants: a template that a hundred queries share must not be the first to go.
        for each in (segment, *reversed(plan.ancestors(segment))):
            key = _key(plan, each)
            if key in self._entries:
                self._entries.move_to_end(key)

    def clear(self) -> None:
        """Drop every entry."""
        self._entries.clear()
        self._held_tokens = 0


def _key(plan: Plan, segment: int) -> Key:
    path = b"".join(plan.tokens(each).tobytes() for each in [*plan.ancestors(segment), segment])
    return int(plan.cache_salts_S[segment]), int(plan.offsets_S[segment]), path
