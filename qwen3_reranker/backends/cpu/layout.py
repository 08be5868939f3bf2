"""Where a batch's tokens lie and what each segment looks back on, worked out once for all layers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import Batch, Plan


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """One segment of a batch: its own tokens, and the runs of ancestors from the root down.

    A run is a range of tokens of this batch, or the number of a segment kept from before.
    """

    segment: int
    start: int
    stop: int
    runs: tuple[tuple[int, int] | int, ...]
    ends_row: bool


@dataclass(frozen=True, eq=False, slots=True)
class BatchLayout:
    """A batch's T tokens packed in order. rows_M: rows that end here; leaves_M: the token that ends each of them."""

    tokens_T: NDArray[np.int32]
    positions_T: NDArray[np.int32]
    segments: tuple[SegmentLayout, ...]
    rows_M: NDArray[np.int64]
    leaves_M: NDArray[np.int32]


def lay_out(plan: Plan, batch: Batch, kept: Collection[int]) -> BatchLayout:
    """The layout of one batch; every ancestor is in the batch or in `kept`."""
    numbers = np.array(batch.segments, dtype=np.int64)
    lengths = np.diff(plan.starts_S1)[numbers]
    stops = np.cumsum(lengths)
    starts = stops - lengths
    place = {
        segment: (int(start), int(stop)) for segment, start, stop in zip(batch.segments, starts, stops, strict=True)
    }
    shift = np.repeat(plan.starts_S1[numbers] - starts, lengths)
    source_T = np.arange(stops[-1]) + shift
    local_of = np.full(plan.num_tokens, -1, dtype=np.int32)
    local_of[source_T] = np.arange(len(source_T), dtype=np.int32)
    leaves_N = local_of[plan.leaves_N]
    rows_M = np.flatnonzero(leaves_N >= 0)
    ending = set(leaves_N[rows_M].tolist())
    segments = tuple(
        SegmentLayout(segment, *place[segment], _runs(plan, segment, place, kept), place[segment][1] - 1 in ending)
        for segment in batch.segments
    )
    assert ending <= {each.stop - 1 for each in segments}, "a row ends with its segment"
    return BatchLayout(plan.tokens_T[source_T], plan.positions()[source_T], segments, rows_M, leaves_N[rows_M])


def _runs(
    plan: Plan, segment: int, place: dict[int, tuple[int, int]], kept: Collection[int]
) -> tuple[tuple[int, int] | int, ...]:
    runs: list[tuple[int, int] | int] = []
    for above in plan.ancestors(segment):
        if above not in place:
            assert above in kept, "an ancestor is computed before its descendants"
            runs.append(above)
            continue
        start, stop = place[above]
        before = runs[-1] if runs else None
        if isinstance(before, tuple) and before[1] == start:
            runs[-1] = (before[0], stop)
        else:
            runs.append((start, stop))
    return tuple(runs)
