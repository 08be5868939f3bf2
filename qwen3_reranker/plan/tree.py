"""Token rows -> prefix tree. Rows are sorted, so that neighbours share whatever any rows share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.records import Row

Ids = NDArray[np.int32]


class Segment:
    """A run of tokens without branches: `ids[start:end]` of one row, below `parent`.

    `reusable` says that it ends where rows of other calls are likely to part: after the prefix or after a query prefix.
    `cache_salt`: that of its rows; 0 for what all rows share.
    """

    __slots__ = ("cache_salt", "children", "end", "ids", "parent", "reusable", "start")

    def __init__(
        self, ids: Ids, start: int, end: int, parent: Segment | None, reusable: bool, cache_salt: int = 0
    ) -> None:
        self.ids = ids
        self.start = start
        self.end = end
        self.parent = parent
        self.reusable = reusable
        self.cache_salt = cache_salt
        self.children: list[Segment] = []


def grow(rows: Sequence[Row], min_shared_tokens: int) -> tuple[list[Segment], list[Segment]]:
    """The roots of the prefix tree, and for each row the segment that ends it.

    A segment is cut for a shared beginning only if at least `min_shared_tokens` of it are shared; sharing a whole
    segment needs no cut and always happens. Linear in tokens after one sort of the rows.
    """
    # Big-endian bytes compare like the tokens they hold, so one sort of bytes objects sorts the rows.
    public = min((row.num_public_tokens for row in rows), default=0)
    keys = [row_key(row, public) for row in rows]
    ends: dict[bytes, Segment] = {}
    first_with = {key: row for row, key in zip(reversed(rows), reversed(keys), strict=True)}
    roots: list[Segment] = []
    path: list[Segment] = []
    previous: Row | None = None
    for key in sorted(first_with):
        row = first_with[key]
        assert len(row.ids), "a row holds at least the template"
        _follow(path, roots, shared_tokens(previous, row, public) if previous else 0, min_shared_tokens)
        _extend(path, roots, row, public)
        ends[key] = path[-1]
        previous = row
    return roots, [ends[key] for key in keys]


def row_key(row: Row, public: int) -> bytes:
    """What sorts rows so that neighbours share the most. After `public` tokens, rows of a salt stay together."""
    ids = row.ids.astype(">u4")
    return ids[:public].tobytes() + row.cache_salt.to_bytes(8, "big") + ids[public:].tobytes()


def shared_tokens(first: Row, second: Row, public: int) -> int:
    """How many tokens two rows begin with alike. Rows of different salts share `public` at most."""
    length = min(len(first.ids), len(second.ids))
    if first.cache_salt != second.cache_salt:
        length = min(length, public)
    different = first.ids[:length] != second.ids[:length]
    return int(different.argmax()) if different.any() else length


def _follow(path: list[Segment], roots: list[Segment], shared: int, min_shared_tokens: int) -> None:
    """Shorten the previous row's path to what the next row shares with it."""
    while path and path[-1].start >= shared:
        path.pop()
    if not path or path[-1].end <= shared:
        return
    lower = path.pop()
    if shared - lower.start < min_shared_tokens:
        return
    upper = Segment(lower.ids, lower.start, shared, lower.parent, reusable=False, cache_salt=lower.cache_salt)
    siblings = lower.parent.children if lower.parent else roots
    siblings[siblings.index(lower, len(siblings) - 1)] = upper
    upper.children.append(lower)
    lower.parent = upper
    lower.start = shared
    path.append(upper)


def _extend(path: list[Segment], roots: list[Segment], row: Row, public: int) -> None:
    """Append what the row does not share, cut into segments at its boundaries."""
    start = path[-1].end if path else 0
    cuts = [boundary for boundary in row.boundaries if start < boundary < len(row.ids)]
    for end in [*cuts, len(row.ids)]:
        parent = path[-1] if path else None
        cache_salt = 0 if end <= public else row.cache_salt
        segment = Segment(row.ids, start, end, parent, reusable=end in cuts, cache_salt=cache_salt)
        (parent.children if parent else roots).append(segment)
        path.append(segment)
        start = end
