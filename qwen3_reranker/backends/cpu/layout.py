"""Where a batch's tokens lie, what each looks back on, and how the work is cut for threads: once for all layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import Batch, Plan

# A run of ancestors: a range of tokens of this batch, or the number of a segment kept from before.
Run = tuple[int, int] | int

# Tokens that one thread takes through the matrix products at once: enough for their full speed, few enough for memory.
STRIP_TOKENS = 512
# Queries that are worth a task of their own, and attention scores (one head) that a piece holds at most.
_TASK_QUERIES = 128
PIECE_SCORES = 256 * 4096


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens `start:stop` of the batch that ask, of a segment that begins at `begin`; runs of ancestors, root first."""

    begin: int
    start: int
    stop: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, eq=False, slots=True)
class BatchLayout:
    """A batch's T tokens packed in order.

    strips: ranges of tokens for work on each token alone. tasks: pieces of attention, about equal in work.
    places: where each of the batch's segments lies. leaves: for each token that ends a row, its piece of one query.
    leaf_of_row_M: for each row that ends here its place in `leaves`. longest: tokens that a token here sees at most.
    """

    tokens_T: NDArray[np.int32]
    positions_T: NDArray[np.int32]
    strips: list[slice]
    tasks: list[list[Piece]]
    places: dict[int, slice]
    leaves: list[Piece]
    leaf_of_row_M: NDArray[np.int64]
    longest: int


def lay_out(plan: Plan, batch: Batch, kept: Collection[int], num_threads: int) -> BatchLayout:
    """The layout of one batch; every ancestor is in the batch or in `kept`."""
    numbers = np.array(batch.segments, dtype=np.int64)
    lengths = plan.starts_S1[numbers + 1] - plan.starts_S1[numbers]
    stops = np.cumsum(lengths)
    starts = stops - lengths
    places = {
        segment: slice(start, stop)
        for segment, start, stop in zip(batch.segments, starts.tolist(), stops.tolist(), strict=True)
    }
    source_T = np.arange(stops[-1]) + np.repeat(plan.starts_S1[numbers] - starts, lengths)
    # The plan's places of the batch's tokens rise, as its segments do, so a row's end is found by search.
    ends, leaf_of_row_M = np.unique(np.searchsorted(source_T, plan.leaves_N[batch.rows_M]), return_inverse=True)
    ending = set(ends.tolist())
    segments = [(places[each], _runs(plan, each, places, kept)) for each in batch.segments]
    longest = int((plan.offsets_S[numbers] + lengths).max())
    pieces = (piece for place, runs in segments for piece in _pieces(place, runs, longest))
    return BatchLayout(
        tokens_T=plan.tokens_T[source_T],
        positions_T=(np.arange(stops[-1]) + np.repeat(plan.offsets_S[numbers] - starts, lengths)).astype(np.int32),
        strips=strips(len(source_T), num_threads),
        tasks=list(_tasks(pieces)),
        places=places,
        leaves=[
            Piece(place.start, place.stop - 1, place.stop, runs) for place, runs in segments if place.stop - 1 in ending
        ],
        leaf_of_row_M=leaf_of_row_M,
        longest=longest,
    )


def strips(tokens: int, num_threads: int) -> list[slice]:
    """Ranges that cover the tokens, of at most 512 each, at least one a thread where there are enough."""
    size = max(1, min(STRIP_TOKENS, -(-tokens // num_threads)))
    return [slice(start, min(start + size, tokens)) for start in range(0, tokens, size)]


def _pieces(place: slice, runs: tuple[Run, ...], longest: int) -> Iterator[Piece]:
    # A row of 32K tokens is cut so that no piece's scores take much memory.
    size = max(1, PIECE_SCORES // longest)
    for start in range(place.start, place.stop, size):
        yield Piece(place.start, start, min(start + size, place.stop), runs)


def _tasks(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    task: list[Piece] = []
    queries = 0
    for piece in pieces:
        task.append(piece)
        queries += piece.stop - piece.start
        if queries >= _TASK_QUERIES:
            yield task
            task, queries = [], 0
    if task:
        yield task


def _runs(plan: Plan, segment: int, places: dict[int, slice], kept: Collection[int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for above in plan.ancestors(segment):
        if above not in places:
            assert above in kept, "an ancestor is computed before its descendants"
            runs.append(above)
            continue
        start, stop = places[above].start, places[above].stop
        before = runs[-1] if runs else None
        if isinstance(before, tuple) and before[1] == start:
            runs[-1] = (before[0], stop)
        else:
            runs.append((start, stop))
    return tuple(runs)
