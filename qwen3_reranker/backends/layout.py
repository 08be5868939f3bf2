"""A batch of a plan as one packed stream of tokens, for cpu and torch.

Shapes: T tokens of the batch, B segments, F tokens that end a row, M rows that end in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import Batch, Plan

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class BatchLayout:
    """The tokens of a batch in the order of the plan, without padding.

    tokens_T: token ids. positions_T: position of each token in its row.
    segments: numbers of the batch's segments in the plan, (B,). cu_seqlens_B1: segment i is tokens
        `cu_seqlens_B1[i]:cu_seqlens_B1[i + 1]` of the batch.
    leaves_F: indices of the tokens that end a row, rising. leaf_of_row_M: for each row of `batch.rows_M` its index in
        `leaves_F`; identical rows share one.
    """

    tokens_T: Integers
    positions_T: Integers
    segments: tuple[int, ...]
    cu_seqlens_B1: Integers
    leaves_F: Integers
    leaf_of_row_M: Integers

    def slices(self) -> dict[int, slice]:
        """The tokens of each segment, by the segment's number in the plan."""
        starts = self.cu_seqlens_B1.tolist()
        return {
            segment: slice(start, stop)
            for segment, start, stop in zip(self.segments, starts[:-1], starts[1:], strict=True)
        }


def lay_out(plan: Plan, batch: Batch) -> BatchLayout:
    """Lay out the tokens of one batch."""
    segments_B = np.array(batch.segments, dtype=np.int64)
    lengths_B = np.diff(plan.starts_S1)[segments_B].astype(np.int64)
    source_T = joined_ranges(plan.starts_S1[segments_B], lengths_B)
    # Segments are in the order of the plan, so source_T rises and a row's end is found by binary search.
    ends_M = np.searchsorted(source_T, plan.leaves_N[batch.rows_M])
    leaves_F, leaf_of_row_M = np.unique(ends_M, return_inverse=True)
    return BatchLayout(
        tokens_T=plan.tokens_T[source_T].astype(np.int64),
        positions_T=joined_ranges(plan.offsets_S[segments_B], lengths_B),
        segments=batch.segments,
        cu_seqlens_B1=cumulative(lengths_B),
        leaves_F=leaves_F,
        leaf_of_row_M=leaf_of_row_M,
    )


def cumulative(lengths: Integers) -> Integers:
    """0, then the sum of the first 1, 2, ... lengths, as FlashAttention takes cu_seqlens: one more than lengths."""
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)))


def joined_ranges(starts: NDArray[np.integer], lengths: Integers) -> Integers:
    """The integers `start, start + 1, ...` of every range of that length, in turn."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    integers: Integers = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return integers
