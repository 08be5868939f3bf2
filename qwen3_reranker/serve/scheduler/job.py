"""Job: the rows of one request, what each costs, and the logits as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import row_key, shared_tokens
from qwen3_reranker.records import Row


class Job:
    """The rows of one request, which all have one owner.

    deadline: when its result is of no use any more, by time.monotonic(). on_end: called once, by the scheduler's
    thread or by whoever cancels, when `logits_N` is complete or `error` says why it never will be.
    Everything that changes belongs to the scheduler that it is submitted to.
    """

    def __init__(self, rows: Sequence[Row], *, deadline: float, on_end: Callable[[], None]) -> None:
        assert rows, "a request without pairs needs no job"
        self.rows = rows
        self.deadline = deadline
        self.on_end = on_end
        self.owner = rows[0].owner
        public = rows[0].num_public_tokens
        keys = [row_key(row, public) for row in rows]
        #: Places in `rows`, in the order in which they are best computed.
        self.order = sorted(range(len(rows)), key=keys.__getitem__)
        #: How many tokens each row, in that order, adds to its predecessor's.
        self.added_R = np.array([len(rows[place].ids) for place in self.order], dtype=np.int64)
        for number, (before, place) in enumerate(pairwise(self.order), 1):
            self.added_R[number] -= shared_tokens(rows[before], rows[place], public)
        #: Tokens of the request's own tree: each distinct beginning among its rows once.
        self.computed_tokens = int(self.added_R.sum())
        #: The same without the template, which is known beforehand; at least 1.
        self.cost = max(1, self.computed_tokens - public)
        self.logits_N: NDArray[np.float32] = np.full(len(rows), np.nan, dtype=np.float32)
        self.error: BaseException | None = None
        self.submitted = self.started = self.ended = 0.0
        self.num_left = len(rows)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be computed for it: done, failed, cancelled."""
        return self.ended > 0

    def alone(self, number: int) -> int:
        """Tokens that the row at `order[number]` takes where none of its neighbours is in the batch."""
        row = self.rows[self.order[number]]
        return len(row.ids) - row.num_public_tokens

    def put(self, place: int, logit: float) -> bool:
        """Take the logit of `rows[place]`; True if it was the last."""
        self.logits_N[place] = logit
        self.num_left -= 1
        return self.num_left == 0

    def end(self, error: BaseException | None = None) -> None:
        """Tell whoever waits."""
        self.ended = time.monotonic()
        self.error = error
        self.on_end()
