"""A batch's layout -> the arguments of varlen attention, made once for all layers.

Shapes: T tokens of the batch, F tokens that end a row, S sequences, K gathered keys of all sequences.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.backends.layout import BatchLayout, Integers, cumulative, joined_ranges
from qwen3_reranker.plan import Plan

Range = tuple[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class VarlenMetadata:
    """Sequences of queries and their keys, as the arguments of FlashAttention's flash_attn_varlen_func.

    cu_seqlens_q: sequence s has the queries `cu_seqlens_q[s]:cu_seqlens_q[s + 1]`, (S + 1,).
    cu_seqlens_k: it reads the keys `kv_indices[cu_seqlens_k[s]:cu_seqlens_k[s + 1]]`, (S + 1,).
    kv_indices: indices into the batch's pool of keys, in the order of positions, (K,). The causal mask is aligned at
        the end: the last query of a sequence sees all its keys, the query before it all but the last.
    max_seqlen_q, max_seqlen_k: no sequence has more queries or keys.
    """

    cu_seqlens_q: Integers
    cu_seqlens_k: Integers
    kv_indices: Integers
    max_seqlen_q: int
    max_seqlen_k: int

    @property
    def seqlens_q(self) -> Integers:
        """Queries of each sequence, (S,)."""
        return np.diff(self.cu_seqlens_q)

    @property
    def seqlens_k(self) -> Integers:
        """Keys of each sequence, (S,)."""
        return np.diff(self.cu_seqlens_k)


@dataclass(frozen=True, eq=False, slots=True)
class AttentionMetadata:
    """What the tokens of a batch attend to.

    cached_segments: segments computed before that the batch reads. The pool of keys is theirs, in this order, and then
        the batch's own.
    all_queries: attention of all T tokens. leaf_queries: attention of the F tokens that end a row.
    """

    cached_segments: tuple[int, ...]
    all_queries: VarlenMetadata
    leaf_queries: VarlenMetadata


def attention_metadata(plan: Plan, layout: BatchLayout, cached: Collection[int]) -> AttentionMetadata:
    """The attention of one batch. Each ancestor of its segments is in the batch or in `cached`."""
    cached_segments = _cached_ancestors(plan, layout, cached)
    all_queries = _all_queries(plan, layout, cached_segments)
    return AttentionMetadata(cached_segments, all_queries, _leaf_queries(all_queries, layout))


def varlen_metadata(cu_seqlens_q: Integers, cu_seqlens_k: Integers, kv_indices: Integers) -> VarlenMetadata:
    """The metadata with the lengths of its longest sequences."""
    max_seqlen_q, max_seqlen_k = (int(np.diff(each).max(initial=0)) for each in (cu_seqlens_q, cu_seqlens_k))
    return VarlenMetadata(cu_seqlens_q, cu_seqlens_k, kv_indices, max_seqlen_q, max_seqlen_k)


def _cached_ancestors(plan: Plan, layout: BatchLayout, cached: Collection[int]) -> tuple[int, ...]:
    """Ancestors of the batch's segments outside the batch, in the plan's order."""
    met = set(layout.segments)
    for segment in layout.segments:
        ancestor = int(plan.parents_S[segment])
        # The ancestors of a segment that was met are met with it, here or in their own turn.
        while ancestor >= 0 and ancestor not in met:
            assert ancestor in cached, "an ancestor is computed before its descendants"
            met.add(ancestor)
            ancestor = int(plan.parents_S[ancestor])
    return tuple(sorted(met.difference(layout.segments)))


def _pool(plan: Plan, layout: BatchLayout, cached_segments: tuple[int, ...]) -> dict[int, Range]:
    """The keys of each segment in the pool, start and length; parents before children."""
    pool: dict[int, Range] = {}
    start = 0
    for segment in cached_segments:
        length = len(plan.tokens(segment))
        pool[segment] = (start, length)
        start += length
    for segment, tokens in layout.slices().items():
        pool[segment] = (start + tokens.start, tokens.stop - tokens.start)
    return pool


def _all_queries(plan: Plan, layout: BatchLayout, cached_segments: tuple[int, ...]) -> VarlenMetadata:
    """One sequence for each run of segments that are parents of one another in turn."""
    # The ranges of keys from the root to the end of each segment; a tree may be deeper than Python recurses.
    paths: dict[int, list[Range]] = {-1: []}
    for segment, keys in _pool(plan, layout, cached_segments).items():
        paths[segment] = _joined(paths[int(plan.parents_S[segment])], keys)
    firsts: list[int] = []
    ends: list[int] = []
    previous = -1
    for number, segment in enumerate(layout.segments):
        if previous >= 0 and int(plan.parents_S[segment]) == previous:
            ends[-1] = segment
        else:
            firsts.append(number)
            ends.append(segment)
        previous = segment
    ranges = [each for segment in ends for each in paths[segment]]
    seqlens_k = np.array([sum(length for _, length in paths[segment]) for segment in ends], dtype=np.int64)
    starts_R, lengths_R = np.array(ranges, dtype=np.int64).reshape(-1, 2).T
    return varlen_metadata(
        cu_seqlens_q=np.append(layout.cu_seqlens_B1[firsts], layout.cu_seqlens_B1[-1]),
        cu_seqlens_k=cumulative(seqlens_k),
        kv_indices=joined_ranges(starts_R, lengths_R),
    )


def _leaf_queries(all_queries: VarlenMetadata, layout: BatchLayout) -> VarlenMetadata:
    """A sequence of one query for each leaf. It sees the keys of its sequence up to its position."""
    sequence_F = np.searchsorted(all_queries.cu_seqlens_q, layout.leaves_F, side="right") - 1
    seqlens_k = layout.positions_T[layout.leaves_F] + 1
    return varlen_metadata(
        cu_seqlens_q=np.arange(len(layout.leaves_F) + 1),
        cu_seqlens_k=cumulative(seqlens_k),
        kv_indices=all_queries.kv_indices[joined_ranges(all_queries.cu_seqlens_k[sequence_F], seqlens_k)],
    )


def _joined(path: list[Range], keys: Range) -> list[Range]:
    if path and path[-1][0] + path[-1][1] == keys[0]:
        return [*path[:-1], (path[-1][0], path[-1][1] + keys[1])]
    return [*path, keys]
