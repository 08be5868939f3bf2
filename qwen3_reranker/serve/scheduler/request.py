"""ScheduledRequest: the rows of one request, their cost, and what a model makes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import row_key, shared_tokens
from qwen3_reranker.records import Row, Usage


class ScheduledRequest:
    """The rows of one request, which all belong to one tenant.

    deadline: by time.monotonic(); after it the result is useless. on_end: called once, by the scheduler's thread or by
    the thread that cancels, when `outputs_N` is complete or `error` says why it never will be. The scheduler that it is
    submitted to owns everything that changes.
    """

    def __init__(self, rows: Sequence[Row], *, deadline: float, on_end: Callable[[], object]) -> None:
        assert rows, "a request without pairs is never scheduled"
        self.rows = rows
        self.deadline = deadline
        self.on_end = on_end
        self.tenant = rows[0].cache_salt
        public = rows[0].num_public_tokens
        keys = [row_key(row, public) for row in rows]
        #: Indices into `rows`, in the best order to compute them.
        self.order = sorted(range(len(rows)), key=keys.__getitem__)
        #: Tokens that each row, in that order, adds to those of its predecessor.
        self.added_R = np.array([len(rows[index].ids) for index in self.order], dtype=np.int64)
        for number, (before, index) in enumerate(pairwise(self.order), 1):
            self.added_R[number] -= shared_tokens(rows[before], rows[index], public)
        #: Tokens of the request's own tree: each distinct prefix among its rows once.
        self.computed_tokens = int(self.added_R.sum())
        #: The same without the constant prefix, which is already computed; at least 1.
        self.cost = max(1, self.computed_tokens - public)
        #: A logit or a vector of each row, (num_rows,) or (num_rows, dim).
        self.outputs_N: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        #: The share of each row that is computed or in a batch that runs; a long row is computed step by step.
        self.begun_N: NDArray[np.float64] = np.zeros(len(rows))
        self.error: BaseException | None = None
        self.submitted = self.started = self.ended = 0.0
        self.num_left = len(rows)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, alone in a batch."""
        return max(map(self.tokens_alone, range(len(self.order))))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to compute: done, failed or cancelled."""
        return self.ended > 0

    def tokens_alone(self, number: int) -> int:
        """Tokens of the row at `order[number]` in a batch without its neighbours."""
        row = self.rows[self.order[number]]
        return len(row.ids) - row.num_public_tokens

    def set_output(self, index: int, output: NDArray[np.float32] | np.float32) -> bool:
        """Store what the model made of `rows[index]`; True if it was the last."""
        if not len(self.outputs_N):
            self.outputs_N = np.full((len(self.rows), *output.shape), np.nan, dtype=np.float32)
        self.outputs_N[index] = output
        self.num_left -= 1
        return self.num_left == 0

    def begun_usage(self) -> tuple[int, Usage]:
        """The rows that have begun, and the tokens of their shares; of a finished request all."""
        lengths_N = np.array([len(row.ids) for row in self.rows])
        tokens = ((lengths_N * self.begun_N).sum(), (self.added_R * self.begun_N[self.order]).sum())
        begun = np.flatnonzero(self.begun_N).tolist()
        truncated = sum(self.rows[index].receipt.truncated for index in begun)
        # A sum of whole tokens in float64 is exact.
        return len(begun), Usage(math.ceil(tokens[0]), math.ceil(tokens[1]), 0, truncated)

    def end(self, error: BaseException | None = None) -> None:
        """Finish, and notify the waiting side."""
        self.ended = time.monotonic()
        self.error = error
        self.on_end()
