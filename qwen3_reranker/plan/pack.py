"""Rows -> Plan, their prefix tree as flat arrays for backends and printing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan.outline import outline
from qwen3_reranker.plan.tree import Segment, grow
from qwen3_reranker.records import Row

Integers = NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """Every distinct prefix of some rows, packed. T tokens, S segments, N rows.

    tokens_T: token ids, segment after segment, parents before children.
    starts_S1: segment s owns `tokens_T[starts_S1[s]:starts_S1[s + 1]]`; S + 1 entries.
    offsets_S: position of a segment's first token in its row, that is the length of its ancestors.
    parents_S: the segment above, -1 for none.
    reusable_S: whether other calls are likely to need the segment again.
    cache_salts_S: the salt of the segment's rows, 0 for what all rows share; a cache finds it under that salt only.
    leaves_N: for each row the place in `tokens_T` of its last token, which is the last of its segment.
    num_row_tokens: tokens that the rows hold when each is written out.
    """

    tokens_T: Integers
    starts_S1: Integers
    offsets_S: Integers
    parents_S: Integers
    reusable_S: NDArray[np.bool_]
    cache_salts_S: NDArray[np.int64]
    leaves_N: Integers
    num_row_tokens: int

    @property
    def num_tokens(self) -> int:
        """Tokens to compute when nothing is known yet."""
        return len(self.tokens_T)

    @property
    def num_segments(self) -> int:
        return len(self.parents_S)

    @property
    def num_rows(self) -> int:
        return len(self.leaves_N)

    def ends(self) -> NDArray[np.int64]:
        """The segment that ends each row, (N,)."""
        ends_N: NDArray[np.int64] = np.searchsorted(self.starts_S1, self.leaves_N, side="right") - 1
        return ends_N

    def tokens(self, segment: int) -> Integers:
        """The token ids of one segment."""
        return self.tokens_T[self.starts_S1[segment] : self.starts_S1[segment + 1]]

    def ancestors(self, segment: int) -> list[int]:
        """The segments above this one, from the root down."""
        above = []
        parent = int(self.parents_S[segment])
        while parent >= 0:
            above.append(parent)
            parent = int(self.parents_S[parent])
        return above[::-1]

    def path(self, segment: int) -> Integers:
        """The tokens from the root to the end of one segment."""
        return np.concatenate([self.tokens(each) for each in [*self.ancestors(segment), segment]])

    def row(self, index: int) -> Integers:
        """The tokens of one row, rebuilt along its path."""
        return self.path(int(self.ends()[index]))

    def __str__(self) -> str:
        return outline(self.starts_S1, self.parents_S, self.num_rows, self.num_row_tokens)


def build(rows: Sequence[Row], min_shared_tokens: int = 1) -> Plan:
    """The plan of these rows; a common beginning shorter than `min_shared_tokens` is computed apart."""
    return pack(*grow(rows, min_shared_tokens), num_row_tokens=sum(len(row.ids) for row in rows))


def pack(roots: Sequence[Segment], ends: Sequence[Segment], *, num_row_tokens: int) -> Plan:
    """Lay the tree out in depth-first order; `ends` names the segment that ends each row."""
    segments: list[Segment] = []
    waiting = list(reversed(roots))
    while waiting:
        segments.append(waiting.pop())
        waiting.extend(reversed(segments[-1].children))
    place = {id(segment): index for index, segment in enumerate(segments)}
    starts_S1 = np.zeros(len(segments) + 1, dtype=np.int32)
    np.cumsum([segment.end - segment.start for segment in segments], out=starts_S1[1:])
    runs = [segment.ids[segment.start : segment.end] for segment in segments]
    return Plan(
        tokens_T=np.concatenate(runs) if runs else np.empty(0, dtype=np.int32),
        starts_S1=starts_S1,
        offsets_S=np.array([segment.start for segment in segments], dtype=np.int32),
        parents_S=np.array(
            [place[id(segment.parent)] if segment.parent else -1 for segment in segments], dtype=np.int32
        ),
        reusable_S=np.array([segment.reusable for segment in segments], dtype=np.bool_),
        cache_salts_S=np.array([segment.cache_salt for segment in segments], dtype=np.int64),
        leaves_N=np.array([starts_S1[place[id(end)] + 1] - 1 for end in ends], dtype=np.int32),
        num_row_tokens=num_row_tokens,
    )
