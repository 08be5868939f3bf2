"""Runner: token rows -> their final hidden states, for many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import plan
from qwen3_reranker.async_calls import end_if_cancelled
from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps, run_all
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import CheckpointError, InputError, PrecisionError
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.heads import NotFiniteError
from qwen3_reranker.overlap import made_ahead, parts
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Row
from qwen3_reranker.registry import SPECS
from qwen3_reranker.weights import Checkpoint, why_not_finite

#: What makes logits or vectors of final hidden states.
Head = Callable[[NDArray[np.floating[Any]]], NDArray[np.float32]]


class Runner:
    """Runs plans on one backend. Calls run one after the other, steps of several plans take turns.

    backend: None for a model that only plans. name: what errors call the object that holds this.
    Use from inside its own on_progress is an InputError, not a deadlock.
    """

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions, backend: Backend | None, name: str) -> None:
        self.backend = backend
        self.is_closed = False
        self._checkpoint, self._options, self._name = checkpoint, options, name
        self._lock = threading.Lock()
        self._calling_thread: int | None = None
        self._why_not_finite: CheckpointError | PrecisionError | None = None
        renew_in_children(self)

    def plan(self, rows: Sequence[Row]) -> Plan:
        """The prefix tree of the rows, packed."""
        return plan.build(rows, self._options.min_shared_tokens)

    def run(
        self, texts: Sequence[str], rows_of: Callable[[slice], list[Row]], on_progress: OnProgress | None
    ) -> tuple[list[Row], Executed]:
        """The rows of `texts`, and the final state of each, in input order. rows_of: makes the rows of a range."""
        size = SPECS[self._options.backend].overlap_characters
        if size is not None and sum(map(len, texts)) > size:
            return self._run_overlapped(texts, rows_of, on_progress, size)
        rows = rows_of(slice(None))
        return rows, self.execute(self.plan(rows), on_progress)

    def execute(self, tree: Plan, on_progress: OnProgress | None = None) -> Executed:
        """Run a whole plan; other threads wait."""

        def advance(share: float) -> None:
            # A backend may call this in a thread of its own, where another call would wait for this one for ever.
            self._calling_thread = threading.get_ident()
            if on_progress:
                on_progress(share)

        with self._exclusive("used"):
            end_if_cancelled()
            return run_all(self._open_backend().steps(tree, advance if on_progress else None), end_if_cancelled)

    def steps(self, tree: Plan) -> Steps:
        """Run a plan step by step; other threads may run theirs between two steps."""
        steps: Steps | None = None
        while True:
            with self._exclusive("used"):
                steps = steps or self._open_backend().steps(tree)
                try:
                    next(steps)
                except StopIteration as ended:
                    executed: Executed = ended.value
                    return executed
            yield

    def read_out(self, head: Head, executed: Executed) -> NDArray[np.float32]:
        """What the head makes of the states, in float32.

        Where that is not finite, raises CheckpointError for a damaged tensor, PrecisionError if no tensor is damaged.
        """
        try:
            return head(executed.hidden_ND)
        except NotFiniteError as error:
            if self._why_not_finite is None:
                # This reads every weight, so a server must not do it for each request.
                self._why_not_finite = why_not_finite(self._checkpoint, self._options.precision)
            reason = self._why_not_finite
            raise type(reason)(f"{error}: {reason}") from None

    def close(self) -> None:
        """Give the memory back, once a call under way has ended; nothing runs afterwards."""
        with self._exclusive("closed"):
            self.is_closed = True
            backend, self.backend = self.backend, None
            if backend is not None:
                backend.close()

    def in_forked_child(self) -> None:
        """Go on without the call that another thread was in."""
        interrupted = self._lock.locked()
        self._lock, self._calling_thread = threading.Lock(), None
        if self.backend is not None:
            self.backend = self.backend.in_forked_child(interrupted)

    def unusable(self) -> InputError:
        """Why there is no backend, as an error to raise."""
        if self.is_closed:
            return InputError(f"this {self._name} is closed; make a new one")
        return InputError(f"this {self._name} was made with plan_only, so no weights are loaded; make one without it")

    def _run_overlapped(
        self,
        texts: Sequence[str],
        rows_of: Callable[[slice], list[Row]],
        on_progress: OnProgress | None,
        size: int,
    ) -> tuple[list[Row], Executed]:
        """The same in parts of `size` characters, each tokenized while the part before is computed."""

        def prepare(part: slice) -> tuple[list[Row], Plan]:
            made = rows_of(part)
            return made, self.plan(made)

        rows: list[Row] = []
        executed: list[Executed] = []
        for made, tree in made_ahead(map(prepare, parts(texts, size))):

            def advance(share: float, before: int = len(rows), some: int = len(made)) -> None:
                if on_progress:
                    on_progress((before + share * some) / len(texts))

            executed.append(self.execute(tree, advance if on_progress else None))
            rows += made
        return rows, Executed(
            np.concatenate([each.hidden_ND for each in executed]),
            computed_tokens=sum(each.computed_tokens for each in executed),
            cached_tokens=sum(each.cached_tokens for each in executed),
        )

    @contextmanager
    def _exclusive(self, done: str) -> Iterator[None]:
        """Let one thread at a time in. `done` says in an error what the caller does with the model."""
        if self._calling_thread == threading.get_ident():
            raise InputError(f"this {self._name} cannot be {done} from inside its own on_progress")
        with self._lock:
            self._calling_thread = threading.get_ident()
            try:
                yield
            finally:
                self._calling_thread = None

    def _open_backend(self) -> Backend:
        if self.backend is None:
            raise self.unusable()
        return self.backend
