"""Scheduler: one thread that owns a network, and the line of those who wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import run_all
from qwen3_reranker.errors import OutOfMemoryError
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.records import Row
from qwen3_reranker.serve.scheduler.drain import DrainRate
from qwen3_reranker.serve.scheduler.job import Job
from qwen3_reranker.serve.scheduler.line import Line, Taken

_log = logging.getLogger(__name__)

#: Batches that fail one after another before the network counts as broken: one may be a single caller's doing.
_FAILURES_OF_THE_BROKEN = 3


#: The logits of some rows, (num_rows,) float32, in steps between which others may run.
Judging = Generator[None, None, NDArray[np.float32]]


class Judge(Protocol):
    """What a scheduler needs of a Reranker."""

    def judge(self, rows: Sequence[Row]) -> Judging:
        """The logits of rows, in steps."""
        ...


class Refused(Exception):  # noqa: N818 - no error: the same request may come again
    """There is no room for a request now; after `seconds` there may be."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a scheduler is: what waits, seconds since the batch under way began (0 for none), failures in a row."""

    waiting_tokens: int
    waiting_jobs: int
    batch_seconds: float
    failures: int
    is_running: bool

    @property
    def is_broken(self) -> bool:
        """Whether batch after batch fails, so that only a probe may say otherwise."""
        return self.failures >= _FAILURES_OF_THE_BROKEN


@dataclass(slots=True)
class _LongRun:
    """A row that is longer than a batch, and how much of it is still to do."""

    taken: Taken
    tokens_left: int
    steps: Judging | None = None


class Scheduler:
    """Merges the rows of many jobs into batches; safe for threads.

    batch_tokens: tokens of a batch; a row that has more goes beside the others, a step at a time. max_waiting_tokens:
    admitted and not yet begun. on_batch: told the rows, tokens and seconds of every batch, for metrics.
    A job is admitted whole or not at all. Rows of a job that has ended are in no further batch.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        batch_tokens: int,
        max_waiting_tokens: int,
        name: str = "model",
        on_batch: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self._judge = judge
        self._batch_tokens = batch_tokens
        self._max_waiting_tokens = max_waiting_tokens
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._short, self._long = Line(), Line()
        self._jobs: set[Job] = set()
        self._rate = DrainRate()
        self._under_way: _LongRun | None = None
        self._computing: list[Taken] = []
        self._batch_began = 0.0
        self._failures = 0
        #: Why nothing more is done, or nothing.
        self._closing = ""
        self._thread = threading.Thread(target=self._work, name=f"scheduler of {name}", daemon=True)
        self._thread.start()
        renew_in_children(self)

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn. Raises Refused where there is no room or it would end behind its deadline."""
        with self._changed:
            if self._closing:
                raise Refused(self._closing, 1.0)
            ahead = self._waiting_tokens()
            # An idle network takes any job, however large: nothing would ever make more room for it.
            if self._jobs and ahead + job.cost > self._max_waiting_tokens:
                raise Refused("too many tokens wait already", self._rate.seconds(ahead + job.cost) / 2)
            needed = self._rate.seconds(ahead + job.cost)
            left = job.deadline - time.monotonic()
            if self._jobs and needed > left:
                raise Refused("the requests before this one take longer than it may wait", needed - left)
            job.submitted = time.monotonic()
            self._jobs.add(job)
            fits = [job.alone(number) <= self._batch_tokens for number in range(len(job.order))]
            self._short.add(job, [number for number, each in enumerate(fits) if each])
            self._long.add(job, [number for number, each in enumerate(fits) if not each])
            self._changed.notify()

    def cancel(self, job: Job, error: BaseException) -> bool:
        """End a job that nobody waits for any more; False if it had ended already."""
        with self._changed:
            if job.is_over:
                return False
            self._end(job, error)
            return True

    def vitals(self) -> Vitals:
        """How it is just now."""
        with self._changed:
            since = time.monotonic() - self._batch_began if self._batch_began else 0.0
            return Vitals(self._waiting_tokens(), len(self._jobs), since, self._failures, self._thread.is_alive())

    def watch(self, judge: Judge) -> None:
        """Ask another judge from the next batch on, such as one that looks on and passes the rows to the first."""
        with self._changed:
            self._judge = judge

    def close(self, error: BaseException | None = None) -> None:
        """End all jobs that are left, and the thread once the batch under way is through."""
        with self._changed:
            self._closing = self._closing or "the model is being unloaded"
            for job in list(self._jobs):
                self._end(job, error or Refused(self._closing, 1.0))
            self._changed.notify()
        self._thread.join()

    def in_forked_child(self) -> None:
        """Refuse all: the thread and the jobs are the parent's."""
        self._changed = threading.Condition()
        self._closing = "this process was forked from the one that judges"
        self._jobs.clear()

    def _waiting_tokens(self) -> int:
        return self._short.tokens + self._long.tokens + sum(taken.tokens for taken in self._computing)

    def _end(self, job: Job, error: BaseException | None = None) -> None:
        self._jobs.discard(job)
        if error is not None:
            self._short.drop(job)
            self._long.drop(job)
        job.end(error)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._short or self._long or self._under_way or self._closing):
                    self._changed.wait()
                if self._closing:
                    return
                batch = self._next(self._short, None)
                long = self._under_way or self._next_long()
                self._computing = [*batch, *([long.taken] if long else [])]
                self._batch_began = time.monotonic()
            if batch:
                self._run(batch)
            if long:
                self._advance(long)
            with self._changed:
                self._computing = []
                self._batch_began = 0.0

    def _next(self, line: Line, most_rows: int | None) -> list[Taken]:
        """Rows whose jobs still want them; jobs that are late end here, and cost no batch."""
        while line:
            taken = line.take(self._batch_tokens, most_rows)
            now = time.monotonic()
            for job in {each.job for each in taken}:
                if job.deadline <= now and not job.is_over:
                    self._end(job, TimeoutError("the deadline passed while the request waited"))
                elif not job.started:
                    job.started = now
            if wanted := [each for each in taken if not each.job.is_over]:
                return wanted
        return []

    def _run(self, batch: Sequence[Taken]) -> None:
        started = time.monotonic()
        try:
            logits_N = run_all(self._judge.judge([each.job.rows[each.place] for each in batch]))
        except Exception as error:
            self._run_apart(batch, error)
            return
        self._account(len(batch), sum(each.tokens for each in batch), time.monotonic() - started)
        self._deliver(batch, logits_N)

    def _run_apart(self, batch: Sequence[Taken], error: Exception) -> None:
        """A batch has failed: its jobs one by one, so that nobody fails for a neighbour's texts."""
        jobs = list(dict.fromkeys(each.job for each in batch))
        _log.error("a batch of %d rows of %d requests failed", len(batch), len(jobs), exc_info=error)
        if len(jobs) > 1:
            for job in jobs:
                self._run([each for each in batch if each.job is job])
            return
        with self._changed:
            # Memory that one request is short of is no sign that others would be.
            self._failures += not isinstance(error, OutOfMemoryError)
            if not jobs[0].is_over:
                self._end(jobs[0], error)

    def _next_long(self) -> _LongRun | None:
        for taken in self._next(self._long, 1):
            return _LongRun(taken, taken.tokens)
        return None

    def _advance(self, long: _LongRun) -> None:
        """One step of a row that is longer than a batch; the others go on between its steps."""
        self._under_way = None
        if long.taken.job.is_over:
            if long.steps:
                long.steps.close()
            return
        started = time.monotonic()
        tokens = min(long.tokens_left, self._batch_tokens)
        try:
            if long.steps is None:
                long.steps = self._judge.judge([long.taken.job.rows[long.taken.place]])
            next(long.steps)
        except StopIteration as ended:
            self._account(1, long.tokens_left, time.monotonic() - started)
            self._deliver([long.taken], ended.value)
        except Exception as error:
            self._run_apart([long.taken], error)
        else:
            self._account(0, tokens, time.monotonic() - started)
            long.tokens_left -= tokens
            self._under_way = long

    def _account(self, rows: int, tokens: int, seconds: float) -> None:
        with self._changed:
            self._failures = 0
            self._rate.add(tokens, seconds)
        if self._on_batch:
            self._on_batch(rows, tokens, seconds)

    def _deliver(self, batch: Sequence[Taken], logits_N: NDArray[np.float32]) -> None:
        with self._changed:
            for taken, logit in zip(batch, logits_N.tolist(), strict=True):
                if not taken.job.is_over and taken.job.put(taken.place, logit):
                    self._end(taken.job)
