"""The seam below a Reranker: rows of token ids -> logits, by this package's own backends or by another engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Executed, OnProgress
from qwen3_reranker.records import Row
from qwen3_reranker.runner import Head, Runner

#: Makes the rows of a range of texts.
RowsOf = Callable[[slice], list[Row]]


@dataclass(frozen=True, eq=False, slots=True)
class RowLogits:
    """The logits yes - no of rows, (num_rows,) float32, in input order, and what they took.

    computed_tokens: tokens that went through the network; cached_tokens: tokens known from an earlier call.
    """

    logits_N: NDArray[np.float32]
    computed_tokens: int
    cached_tokens: int


class LogitEngine(Protocol):
    """What an engine does for a Reranker. It never sees text; prompt, cuts and receipts are made above it."""

    def score(
        self, texts: Sequence[str], rows_of: RowsOf, on_progress: OnProgress | None
    ) -> tuple[list[Row], RowLogits]:
        """The rows of `texts`, and their scores. An engine may make some rows while it computes others."""
        ...

    def steps(self, rows: Sequence[Row]) -> Generator[None, None, RowLogits]:
        """The scores of rows; calls of others may run between two steps."""
        ...


class LocalEngine:
    """Rows through a plan, the backend of a runner, and what makes logits of its states."""

    def __init__(self, runner: Runner, head: Head) -> None:
        self._runner, self._head = runner, head

    def score(
        self, texts: Sequence[str], rows_of: RowsOf, on_progress: OnProgress | None
    ) -> tuple[list[Row], RowLogits]:
        """The rows of `texts`, and their scores."""
        rows, executed = self._runner.run(texts, rows_of, on_progress)
        return rows, self._scores(executed)

    def steps(self, rows: Sequence[Row]) -> Generator[None, None, RowLogits]:
        """The scores of rows; calls of others may run between two steps."""
        return self._scores((yield from self._runner.steps(self._runner.plan(rows))))

    def _scores(self, executed: Executed) -> RowLogits:
        logits_N = self._runner.read_out(self._head, executed)
        return RowLogits(logits_N, executed.computed_tokens, executed.cached_tokens)
