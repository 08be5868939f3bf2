"""Plan -> batches of max_batch_tokens. A shared segment is kept for later batches, never computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan.pack import Plan


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Segments of a plan that are computed in one pass, in the plan's order.

    segments: their numbers in the plan. Every ancestor is among them, was kept by an earlier batch, or was known.
    rows_M: rows that end here.
    keep: those whose keys and values later batches read.
    release: kept or known segments that no later batch reads.
    """

    segments: tuple[int, ...]
    rows_M: NDArray[np.int64]
    keep: frozenset[int]
    release: frozenset[int]


def cut_long_segments(plan: Plan, max_batch_tokens: int) -> Plan:
    """The same plan with every segment longer than a batch cut into a chain. Exact, as attention is causal."""
    lengths_S = np.diff(plan.starts_S1)
    if not len(lengths_S) or lengths_S.max() <= max_batch_tokens:
        return plan
    pieces_S = -(-lengths_S // max_batch_tokens)
    last_S = np.cumsum(pieces_S) - 1
    segment_P = np.repeat(np.arange(plan.num_segments), pieces_S)
    turn_P = np.arange(len(segment_P)) - (last_S - pieces_S + 1)[segment_P]
    above_S = np.where(plan.parents_S >= 0, last_S[plan.parents_S], -1)
    starts_P = plan.starts_S1[segment_P] + turn_P * max_batch_tokens
    return replace(
        plan,
        starts_S1=np.append(starts_P, plan.num_tokens).astype(np.int32),
        offsets_S=(plan.offsets_S[segment_P] + turn_P * max_batch_tokens).astype(np.int32),
        parents_S=np.where(turn_P > 0, np.arange(len(segment_P)) - 1, above_S[segment_P]).astype(np.int32),
        reusable_S=plan.reusable_S[segment_P],
        cache_salts_S=plan.cache_salts_S[segment_P],
    )


def split(plan: Plan, max_batch_tokens: int, known_S: NDArray[np.bool_] | None = None) -> list[Batch]:
    """Batches that together compute every unknown segment once and leave nothing kept.

    A segment longer than `max_batch_tokens` is a batch of its own (see cut_long_segments). `known_S` marks segments
    whose keys and values the caller already has. Depth-first order makes the kept segments those of one path at a time.
    """
    known = np.zeros(plan.num_segments, dtype=np.bool_) if known_S is None else known_S
    groups = list(_groups(plan, max_batch_tokens, known))
    first = {segment: number for number, group in enumerate(groups) for segment in group}
    last_reader: dict[int, int] = {}
    for number, group in enumerate(groups):
        for segment in group:
            above = int(plan.parents_S[segment])
            # Whoever reads a segment reads all above it, and the later reader is met later.
            while above >= 0 and last_reader.get(above) != number:
                last_reader[above] = number
                above = int(plan.parents_S[above])
    finished: dict[int, list[int]] = {}
    for segment, reader in last_reader.items():
        if first.get(segment) != reader:
            finished.setdefault(reader, []).append(segment)
    return [
        Batch(
            segments=tuple(group),
            rows_M=rows_M,
            keep=frozenset(segment for segment in group if last_reader.get(segment, number) > number),
            release=frozenset(finished.get(number, ())),
        )
        for number, (group, rows_M) in enumerate(zip(groups, _rows_ending(plan, groups), strict=True))
    ]


def _rows_ending(plan: Plan, groups: list[list[int]]) -> list[NDArray[np.int64]]:
    """The rows that end in each group of segments."""
    group_of_S = np.full(plan.num_segments, -1, dtype=np.int64)
    for number, group in enumerate(groups):
        group_of_S[group] = number
    group_of_N = group_of_S[plan.ends()]
    order_N = np.argsort(group_of_N, kind="stable")
    cuts = np.searchsorted(group_of_N[order_N], np.arange(len(groups) + 1))
    return [order_N[start:stop] for start, stop in pairwise(cuts.tolist())]


def _groups(plan: Plan, max_batch_tokens: int, known_S: NDArray[np.bool_]) -> Iterator[list[int]]:
    lengths = np.diff(plan.starts_S1).tolist()
    group: list[int] = []
    held = 0
    for segment in np.flatnonzero(~known_S).tolist():
        if group and held + lengths[segment] > max_batch_tokens:
            yield group
            group, held = [], 0
        group.append(segment)
        held += lengths[segment]
    if group:
        yield group
