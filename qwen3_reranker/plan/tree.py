"""Token rows -> prefix tree: sort the rows, and what neighbours share is what anybody shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.records import Row

Ids = NDArray[np.int32]


class Segment:
    """A run of tokens without branches: `ids[start:end]` of one row, below `parent`.

    `reusable` says that it ends where rows of other calls are likely to part: after the prefix or after a head.
    """

    __slots__ = ("children", "end", "ids", "parent", "reusable", "start")

    def __init__(self, ids: Ids, start: int, end: int, parent: Segment | None, reusable: bool) -> None:
        self.ids = ids
        self.start = start
        self.end = end
        self.parent = parent
        self.reusable = reusable
        self.children: list[Segment] = []


def grow(rows: Sequence[Row], min_shared_tokens: int) -> tuple[list[Segment], list[Segment]]:
    """The roots of the prefix tree, and for each row the segment that ends it.

    A segment is cut for a shared beginning only if at least `min_shared_tokens` of it are shared; sharing a whole
    segment needs no cut and always happens. Linear in tokens after one sort of the rows.
    """
    # Big-endian bytes compare like the tokens they hold, so one sort of bytes objects sorts the rows.
    keys = [row.ids.astype(">u4").tobytes() for row in rows]
    ends: dict[bytes, Segment] = {}
    first_with = {key: row for row, key in zip(reversed(rows), reversed(keys), strict=True)}
    roots: list[Segment] = []
    path: list[Segment] = []
    previous = np.empty(0, dtype=np.int32)
    for key in sorted(first_with):
        row = first_with[key]
        assert len(row.ids), "a row holds at least the template"
        _follow(path, roots, _shared(previous, row.ids), min_shared_tokens)
        _extend(path, roots, row)
        ends[key] = path[-1]
        previous = row.ids
    return roots, [ends[key] for key in keys]


def _shared(first: Ids, second: Ids) -> int:
    length = min(len(first), len(second))
    different = first[:length] != second[:length]
    return int(different.argmax()) if different.any() else length


def _follow(path: list[Segment], roots: list[Segment], shared: int, min_shared_tokens: int) -> None:
    """Shorten the previous row's path to what the next row shares with it, cutting its last segment if it pays."""
    while path and path[-1].start >= shared:
        path.pop()
    if not path or path[-1].end <= shared:
        return
    lower = path.pop()
    if shared - lower.start < min_shared_tokens:
        return
    upper = Segment(lower.ids, lower.start, shared, lower.parent, reusable=False)
    siblings = lower.parent.children if lower.parent else roots
    siblings[siblings.index(lower, len(siblings) - 1)] = upper
    upper.children.append(lower)
    lower.parent = upper
    lower.start = shared
    path.append(upper)


def _extend(path: list[Segment], roots: list[Segment], row: Row) -> None:
    """Append what the row does not share, one segment up to each of its boundaries and one for the rest."""
    start = path[-1].end if path else 0
    cuts = [boundary for boundary in row.boundaries if start < boundary < len(row.ids)]
    for end in [*cuts, len(row.ids)]:
        parent = path[-1] if path else None
        segment = Segment(row.ids, start, end, parent, reusable=end in cuts)
        (parent.children if parent else roots).append(segment)
        path.append(segment)
        start = end
