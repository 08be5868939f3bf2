"""Where a batch's tokens lie, and which keys each of them looks back on: plain integers, once for all layers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import Batch, Plan

Integers = NDArray[np.int64]
Range = tuple[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Sequences:
    """Runs of queries, and the keys that each run looks back on. S sequences, K keys of all of them.

    query_starts_S1: sequence s asks with queries `query_starts_S1[s]:query_starts_S1[s + 1]`.
    key_starts_S1: it looks on `keys_K[key_starts_S1[s]:key_starts_S1[s + 1]]`, places in the pool of kept keys and the
        batch's own, in the order of positions. Its last query sees all of them, the one before all but the last.
    """

    query_starts_S1: Integers
    key_starts_S1: Integers
    keys_K: Integers

    @property
    def query_lengths(self) -> Integers:
        """How many queries each sequence has, (S,)."""
        return np.diff(self.query_starts_S1)

    @property
    def key_lengths(self) -> Integers:
        """How many keys each sequence has, (S,)."""
        return np.diff(self.key_starts_S1)


@dataclass(frozen=True, eq=False, slots=True)
class BatchLayout:
    """A batch's T tokens packed in order, F of which end a row.

    ancestors: segments kept from before that the batch reads; the pool of keys begins with theirs, in this order.
    everyone: attention of all tokens. leaves: attention of the tokens that end a row, whose places are `leaves_F`.
    leaf_of_row_M: for each row that ends here its place in `leaves_F`. places: where each of the batch's segments lies.
    """

    tokens_T: Integers
    positions_T: Integers
    ancestors: tuple[int, ...]
    everyone: Sequences
    leaves: Sequences
    leaves_F: Integers
    leaf_of_row_M: Integers
    places: dict[int, slice]


def lay_out(plan: Plan, batch: Batch, kept: Collection[int]) -> BatchLayout:
    """The layout of one batch; every ancestor is in the batch or in `kept`."""
    numbers = np.array(batch.segments, dtype=np.int64)
    lengths_B = (plan.starts_S1[numbers + 1] - plan.starts_S1[numbers]).astype(np.int64)
    starts_B1 = _starts(lengths_B)
    ancestors = _kept_ancestors(plan, batch, kept)
    pool = _pool(plan, batch, ancestors, starts_B1)
    everyone = _sequences(plan, batch, pool, starts_B1)
    source_T = _ranges(plan.starts_S1[numbers].astype(np.int64), lengths_B)
    positions_T = _ranges(plan.offsets_S[numbers].astype(np.int64), lengths_B)
    # The plan's places of the batch's tokens rise, as its segments do, so a row's end is found by search.
    leaves_F, leaf_of_row_M = np.unique(
        np.searchsorted(source_T, plan.leaves_N[batch.rows_M].astype(np.int64)), return_inverse=True
    )
    return BatchLayout(
        tokens_T=plan.tokens_T[source_T].astype(np.int64),
        positions_T=positions_T,
        ancestors=ancestors,
        everyone=everyone,
        leaves=_leaf_sequences(everyone, leaves_F, positions_T),
        leaves_F=leaves_F,
        leaf_of_row_M=leaf_of_row_M,
        places={
            segment: slice(start, stop)
            for segment, start, stop in zip(
                batch.segments, starts_B1[:-1].tolist(), starts_B1[1:].tolist(), strict=True
            )
        },
    )


def _kept_ancestors(plan: Plan, batch: Batch, kept: Collection[int]) -> tuple[int, ...]:
    """The segments above those of the batch that are not in it, in the plan's order."""
    met = set(batch.segments)
    for segment in batch.segments:
        above = int(plan.parents_S[segment])
        # Whoever lies above a segment that was met is met with it, here or in its own turn.
        while above >= 0 and above not in met:
            assert above in kept, "an ancestor is computed before its descendants"
            met.add(above)
            above = int(plan.parents_S[above])
    return tuple(sorted(met.difference(batch.segments)))


def _pool(plan: Plan, batch: Batch, ancestors: tuple[int, ...], starts_B1: Integers) -> dict[int, Range]:
    """Where the keys of each segment lie in the pool, start and length; parents before children."""
    pool: dict[int, Range] = {}
    start = 0
    for segment in ancestors:
        length = len(plan.tokens(segment))
        pool[segment] = (start, length)
        start += length
    for segment, begin, end in zip(batch.segments, starts_B1[:-1].tolist(), starts_B1[1:].tolist(), strict=True):
        pool[segment] = (start + begin, end - begin)
    return pool


def _sequences(plan: Plan, batch: Batch, pool: dict[int, Range], starts_B1: Integers) -> Sequences:
    """One sequence for each run of segments that each lie below the one before."""
    # The ranges of keys from the root to the end of each segment; a tree may be deeper than Python recurses.
    paths: dict[int, list[Range]] = {-1: []}
    for segment, place in pool.items():
        paths[segment] = _joined(paths[int(plan.parents_S[segment])], place)
    firsts: list[int] = []
    ends: list[int] = []
    before = -1
    for number, segment in enumerate(batch.segments):
        if before >= 0 and int(plan.parents_S[segment]) == before:
            ends[-1] = segment
        else:
            firsts.append(number)
            ends.append(segment)
        before = segment
    ranges = [each for segment in ends for each in paths[segment]]
    counts = np.array([sum(length for _, length in paths[segment]) for segment in ends], dtype=np.int64)
    starts_R, lengths_R = np.array(ranges, dtype=np.int64).reshape(-1, 2).T
    return Sequences(
        query_starts_S1=np.append(starts_B1[firsts], starts_B1[-1]),
        key_starts_S1=_starts(counts),
        keys_K=_ranges(starts_R, lengths_R),
    )


def _leaf_sequences(everyone: Sequences, leaves_F: Integers, positions_T: Integers) -> Sequences:
    """A sequence of one query for each leaf: the keys of its sequence up to its own position."""
    sequence_F = np.searchsorted(everyone.query_starts_S1, leaves_F, side="right") - 1
    lengths_F = positions_T[leaves_F] + 1
    return Sequences(
        query_starts_S1=np.arange(len(leaves_F) + 1),
        key_starts_S1=_starts(lengths_F),
        keys_K=everyone.keys_K[_ranges(everyone.key_starts_S1[sequence_F], lengths_F)],
    )


def _joined(above: list[Range], last: Range) -> list[Range]:
    if above and above[-1][0] + above[-1][1] == last[0]:
        return [*above[:-1], (above[-1][0], above[-1][1] + last[1])]
    return [*above, last]


def _starts(lengths: Integers) -> Integers:
    return np.concatenate(([0], np.cumsum(lengths)))


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """The numbers of all ranges, one range behind the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Integers = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return numbers
