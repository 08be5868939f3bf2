"""The contract of a backend: a plan -> one final hidden state for each row."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.plan import Plan

OnProgress = Callable[[float], None]
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, slots=True)
class Executed:
    """What a run gave.

    hidden_ND: state after the final norm at each row's last token, (num_rows, hidden_size), in input order; float32, or
        float64 from a backend that runs in it. A backend that applies the head itself gives the logits, (num_rows, 1).
    computed_tokens: tokens that went through the network; cached_tokens: tokens known from an earlier run.
    """

    hidden_ND: NDArray[np.floating[Any]]
    computed_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One part of the need, in bytes, and why it is so large."""

    name: str
    num_bytes: int
    reason: str


#: A run that yields between batches and returns what it gave.
Steps = Generator[None, None, Executed]


def run_all(steps: Generator[None, None, Result], between: Callable[[], None] | None = None) -> Result:
    """Run all steps that are left; returns what the last one returns. between: called between two steps."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: Result = ended.value
            return result
        if between is not None:
            between()


class Backend(Protocol):
    """Runs plans of one checkpoint. It never sees text; a row's state does not depend on the other rows."""

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """Compute the plan batch by batch. `on_progress` is called with the share done, above 0 up to 1.

        Other plans may run between two steps. A run that is closed early gives its memory back.
        """
        ...

    def close(self) -> None:
        """Give the memory back; the backend cannot be used afterwards."""
        ...

    def in_forked_child(self, interrupted: bool) -> Backend:
        """The backend to use in a forked child, itself if it goes on there. It must not wait for anything.

        interrupted: another thread was running it at the fork, so its caches and buffers may be half written.
        """
        ...
