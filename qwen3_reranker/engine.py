"""What a Reranker and an Embedder have in common: options -> a backend, and plans through it, one call at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import plan
from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps, run_all
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import (
    CheckpointError,
    InputError,
    PrecisionError,
)
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.heads import NotFiniteError
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Row, Usage
from qwen3_reranker.registry import SPECS
from qwen3_reranker.waves import one_ahead, waves
from qwen3_reranker.weights import Checkpoint, first_not_finite, lasting_name

Init = TypeVar("Init", bound=Callable[..., None])


def refuse_larger_tokenizer(num_entries: int, checkpoint: Checkpoint) -> None:
    """Raise CheckpointError if ids below `num_entries` go beyond the network's word vectors."""
    if num_entries > checkpoint.config.vocab_size:
        raise CheckpointError(
            f"{checkpoint.tokenizer.source}: has {num_entries} entries, but the network embeds only "
            f"{checkpoint.config.vocab_size} (vocab_size in config.json); this is another model's tokenizer"
        )


def _why_not_finite(checkpoint: Checkpoint, precision: str) -> tuple[type[CheckpointError | PrecisionError], str]:
    damaged = first_not_finite(checkpoint)
    if damaged is not None:
        return CheckpointError, (
            f"{damaged.file}: tensor {damaged.name!r} holds NaN or infinity; the checkpoint is damaged, fetch or "
            "convert it again"
        )
    if precision in ("float32", "float64"):
        return CheckpointError, (
            f"every weight is finite, but the network's numbers grow beyond {precision}; its training diverged, or "
            "weights and configuration are not of one model"
        )
    if precision == "float16":
        return PrecisionError, (
            "float16 cannot hold this network's numbers (its largest is 65,504), and every weight is finite: use "
            'precision="bfloat16" or precision="float32"'
        )
    return PrecisionError, (
        f'{precision} cannot hold this network\'s numbers, and every weight is finite: use precision="float32"'
    )


class PlanRunner:
    """Runs rows on a backend that several threads may share; calls run one after the other.

    checkpoint: set before this is made. backend: None for one that only plans. made_of: the keyword arguments that it
    was made of. Using it from inside its own on_progress is an InputError, not a deadlock. A copy, and one that is
    pickled and read in another process, opens the model again; a model of the Hub at the same commit.
    """

    checkpoint: Checkpoint

    def __init__(self, options: EngineOptions, backend: Backend | None, made_of: Mapping[str, Any]) -> None:
        self.options = options
        self.backend = backend
        self._made_of = made_of
        self._is_closed = False
        self._turn = threading.Lock()
        self._running_in: int | None = None
        self._why_not_finite: tuple[type[CheckpointError | PrecisionError], str] | None = None
        renew_in_children(self)

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""
        return self.checkpoint.config

    def close(self) -> None:
        """Give the memory back, once a call under way has ended; it cannot be used afterwards."""
        if self._running_in == threading.get_ident():
            raise InputError(f"{self._kind} cannot be closed from inside its own on_progress")
        with self._turn:
            self._is_closed = True
            backend, self.backend = self.backend, None
            if backend is not None:
                backend.close()

    def in_forked_child(self) -> None:
        """Go on without the call that another thread was in."""
        interrupted = self._turn.locked()
        self._turn, self._running_in = threading.Lock(), None
        if self.backend is not None:
            self.backend = self.backend.in_forked_child(interrupted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_out(
        self, head: Callable[[NDArray[np.floating[Any]]], NDArray[np.float32]], hidden_ND: NDArray[np.floating[Any]]
    ) -> NDArray[np.float32]:
        """What the head makes of the states.

        Where that is not finite, raises CheckpointError naming the tensor that is to blame, PrecisionError if none is.
        """
        try:
            return head(hidden_ND)
        except NotFiniteError as error:
            if self._why_not_finite is None:
                # Every weight is read for it, so a server must not do it for each request.
                self._why_not_finite = _why_not_finite(self.checkpoint, self.options.precision)
            kind, reason = self._why_not_finite
            raise kind(f"{error}: {reason}") from None

    def __reduce__(self) -> tuple[Callable[[], Self], tuple[()]]:
        if self._is_closed:
            raise self._closed()
        name, revision = lasting_name(self._made_of["model"], self._made_of["revision"], self.checkpoint.folder)
        return partial(type(self), **{**self._made_of, "model": name, "revision": revision}), ()

    def __repr__(self) -> str:
        made_of = dict(self._made_of)
        shown = {"backend": self.options.backend, "precision": self.options.precision}
        shown |= {name: value for name, value in made_of.items() if name not in ("model", *shown) and value}
        words = ", ".join([repr(os.fspath(made_of["model"])), *(f"{name}={value!r}" for name, value in shown.items())])
        return f"<{'closed ' if self._is_closed else ''}{type(self).__name__}({words})>"

    @property
    def _kind(self) -> str:
        name = type(self).__name__
        return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"

    def _grow(self, rows: Sequence[Row]) -> Plan:
        return plan.build(rows, self.options.min_shared_tokens)

    def _run(
        self, texts: Sequence[str], rows_of: Callable[[slice], list[Row]], on_progress: OnProgress | None
    ) -> tuple[NDArray[np.floating[Any]], list[Row], Usage]:
        """The state at the end of each row, (num_rows, hidden_size), the rows in input order, and what that took.

        rows_of: makes the rows of a range of `texts`. Many texts for a fast backend go in waves, as waves.py says.
        """

        def prepare(some: slice) -> tuple[list[Row], Plan]:
            made = rows_of(some)
            return made, self._grow(made)

        ranges = waves(texts, SPECS[self.options.backend].overlap_characters)
        rows: list[Row] = []
        executed: list[Executed] = []
        for made, tree in one_ahead(prepare, ranges):

            def advance(share: float, before: int = len(rows), some: int = len(made)) -> None:
                if on_progress:
                    on_progress((before + share * some) / len(texts))

            executed.append(self._execute(tree, advance if on_progress else None))
            rows += made
        usage = Usage(
            prompt_tokens=sum(len(row.ids) for row in rows),
            computed_tokens=sum(each.computed_tokens for each in executed),
            cached_tokens=sum(each.cached_tokens for each in executed),
            truncated_documents=sum(row.receipt.truncated for row in rows),
        )
        return np.concatenate([each.hidden_ND for each in executed]), rows, usage

    def _steps(self, tree: Plan) -> Steps:
        """One plan in steps, each of which takes its turn among the calls of all threads."""
        steps: Steps | None = None
        while True:
            with self._in_turn("used") as backend:
                steps = steps or backend.steps(tree)
                try:
                    next(steps)
                except StopIteration as ended:
                    executed: Executed = ended.value
                    return executed
            yield

    def _execute(self, tree: Plan, on_progress: OnProgress | None) -> Executed:
        """One plan in one turn."""

        def tell(share: float) -> None:
            # Some backends call it in a thread of theirs, in which a call would wait for this one for ever.
            self._running_in = threading.get_ident()
            if on_progress:
                on_progress(share)

        with self._in_turn("used") as backend:
            return run_all(backend.steps(tree, tell if on_progress else None))

    @contextmanager
    def _in_turn(self, done: str) -> Iterator[Backend]:
        """Lend the backend to one thread at a time; `done` says in an error what the caller does with it."""
        if self._running_in == threading.get_ident():
            raise InputError(f"{self._kind} cannot be {done} from inside its own on_progress")
        with self._turn:
            if self.backend is None:
                raise self._closed()
            self._running_in = threading.get_ident()
            try:
                yield self.backend
            finally:
                self._running_in = None

    def _closed(self) -> InputError:
        name = type(self).__name__
        if self._is_closed:
            return InputError(f"this {name} is closed; make a new one")
        return InputError(f"this {name} was made with plan_only, so no weights are loaded; make one without it")
