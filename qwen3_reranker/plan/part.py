"""A plan -> the plan of some of its rows, and which rows to give to each of several workers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan.pack import Plan


def divide(plan: Plan, count: int) -> list[NDArray[np.int64]]:
    """The rows in at most `count` shares of about as many tokens; neighbours in the tree stay together."""
    ends_N = plan.ends()
    lengths_S = np.diff(plan.starts_S1)
    order_N = np.argsort(ends_N, kind="stable")
    # What a row adds is its last segment; rows that are equal add it once.
    _, first_N = np.unique(ends_N[order_N], return_index=True)
    added_N = np.zeros(plan.num_rows)
    added_N[first_N] = lengths_S[ends_N[order_N][first_N]]
    middle_N = np.cumsum(added_N) - added_N / 2
    share_N = np.minimum(count - 1, middle_N * count // max(1.0, added_N.sum())).astype(np.int64)
    shares = [order_N[share_N == number] for number in range(count)]
    return [share for share in shares if len(share)]


def part(plan: Plan, rows_M: NDArray[np.int64]) -> Plan:
    """The plan of these rows alone, in this order: the segments on their paths."""
    ends_M = plan.ends()[rows_M]
    wanted_S = np.zeros(plan.num_segments, dtype=np.bool_)
    for segment in ends_M.tolist():
        while segment >= 0 and not wanted_S[segment]:
            wanted_S[segment] = True
            segment = int(plan.parents_S[segment])
    chosen = np.flatnonzero(wanted_S)
    place_S = np.cumsum(wanted_S) - 1
    lengths = np.diff(plan.starts_S1)[chosen]
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    parents = plan.parents_S[chosen]
    return Plan(
        tokens_T=plan.tokens_T[np.repeat(wanted_S, np.diff(plan.starts_S1))],
        starts_S1=starts,
        offsets_S=plan.offsets_S[chosen],
        parents_S=np.where(parents >= 0, place_S[parents], -1).astype(np.int32),
        reusable_S=plan.reusable_S[chosen],
        owners_S=plan.owners_S[chosen],
        leaves_N=(starts[place_S[ends_M] + 1] - 1).astype(np.int32),
        num_row_tokens=int((plan.offsets_S + np.diff(plan.starts_S1))[ends_M].sum()),
    )
