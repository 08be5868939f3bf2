"""A plan as an outline that a person can read, with its saving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOST_LINES = 40


def outline(starts_S1: NDArray[np.int32], parents_S: NDArray[np.int32], num_rows: int, num_row_tokens: int) -> str:
    """The tree as indented lines, leaves of one parent gathered in one. It has at most about forty lines."""
    num_tokens = int(starts_S1[-1])
    lengths = np.diff(starts_S1).tolist()
    children: dict[int, list[int]] = {}
    for segment, parent in enumerate(parents_S.tolist()):
        children.setdefault(parent, []).append(segment)
    saved = 1 - num_tokens / num_row_tokens if num_row_tokens else 0.0
    lines = [
        f"{num_tokens:,} tokens instead of {num_row_tokens:,} ({saved:.0%} saved): "
        f"{num_rows:,} {'row' if num_rows == 1 else 'rows'}, {len(lengths):,} segments"
    ]
    waiting = [(segment, 0) for segment in reversed(children.get(-1, []))]
    while waiting:
        if len(lines) > _MOST_LINES:
            lines.append(f"… and {len(waiting):,} more branches")
            break
        segment, depth = waiting.pop()
        lines.append(f"{'  ' * depth}{_tokens(lengths[segment])}{', shared' if segment in children else ''}")
        below = children.get(segment, [])
        ends = [lengths[child] for child in below if child not in children]
        if len(ends) > 1:
            span = _tokens(ends[0]) if min(ends) == max(ends) else f"{min(ends):,} to {max(ends):,} tokens"
            lines.append(f"{'  ' * (depth + 1)}{len(ends):,} ends of {span}")
            below = [child for child in below if child in children]
        waiting.extend((child, depth + 1) for child in reversed(below))
    return "\n".join(lines)


def _tokens(count: int) -> str:
    return f"{count:,} {'token' if count == 1 else 'tokens'}"
