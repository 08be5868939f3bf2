"""Scheduler: one thread that owns a model, and its queue of requests."""

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
from qwen3_reranker.serve.scheduler.fair_queue import FairQueue, ScheduledRow
from qwen3_reranker.serve.scheduler.request import ScheduledRequest

_log = logging.getLogger(__name__)

#: Batches that fail in a row before the model counts as broken: one may be the fault of a single request.
_BROKEN_AFTER = 3
# Weight of the past against the newest batch.
_DECAY = 0.9

#: Gives a logit or a vector of each row, float32, in steps; other batches may run between them.
Steps = Generator[None, None, NDArray[np.float32]]


class RowScorer(Protocol):
    """What a scheduler needs of a Reranker or an Embedder."""

    def judge(self, rows: Sequence[Row]) -> Steps:
        """The logits or vectors of rows, in steps."""
        ...


class Overloaded(Exception):  # noqa: N818 - no error: the same request may come again
    """The scheduler takes no request now; it may after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class SchedulerStats:
    """State of a scheduler. batch_seconds: age of the running batch, 0 for none. failures: in a row."""

    waiting_tokens: int
    waiting_requests: int
    batch_seconds: float
    failures: int
    is_running: bool

    @property
    def is_broken(self) -> bool:
        """Whether several batches failed in a row, so that only a probe can show recovery."""
        return self.failures >= _BROKEN_AFTER


class Throughput:
    """Seconds per token of recent batches, used to estimate waiting time; not thread-safe.

    Batches are kept apart by size. Each has a fixed cost, so a token is cheaper in a full batch, as waiting tokens make
    it, than in small ones, however many of these came last.
    """

    def __init__(self) -> None:
        self._totals: dict[int, tuple[float, float]] = {}

    def add(self, tokens: int, seconds: float) -> None:
        """Count a finished batch. The last step of a long row may have none of its tokens left, and tells no rate."""
        if not tokens:
            return
        size = tokens.bit_length()
        before_tokens, before_seconds = self._totals.get(size, (0.0, 0.0))
        self._totals[size] = before_tokens * _DECAY + tokens, before_seconds * _DECAY + seconds

    def seconds(self, tokens: int) -> float:
        """Expected seconds for that many tokens, at the best rate of any size; 0 before the first batch."""
        return tokens * min((seconds / counted for counted, seconds in self._totals.values()), default=0.0)


@dataclass(slots=True)
class _LongRow:
    """A row longer than a batch, and its tokens that are left."""

    row: ScheduledRow
    tokens_left: int
    steps: Steps | None = None


class Scheduler:
    """Merges the rows of many requests into batches; thread-safe.

    batch_tokens: tokens of a batch; a longer row runs one step at a time between batches. max_waiting_tokens: admitted
    and not yet started. on_batch: called with the rows, tokens and seconds of every batch, for metrics.
    A request is admitted whole or not at all. Rows of a request that has ended enter no further batch.
    """

    def __init__(
        self,
        scorer: RowScorer,
        *,
        batch_tokens: int,
        max_waiting_tokens: int,
        name: str = "model",
        on_batch: Callable[[int, int, float], None] | None = None,
    ) -> None:
        self.scorer = scorer
        self._batch_tokens = batch_tokens
        self.max_waiting_tokens = max_waiting_tokens
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._short, self._long = FairQueue(), FairQueue()
        self._requests: set[ScheduledRequest] = set()
        self._throughput = Throughput()
        self._long_row: _LongRow | None = None
        self._running: list[ScheduledRow] = []
        self._batch_began = 0.0
        self._failures = 0
        #: Why the scheduler takes nothing more; empty while it does.
        self._closing = ""
        self._thread = threading.Thread(target=self._work, name=f"scheduler of {name}", daemon=True)
        self._thread.start()
        renew_in_children(self)

    def submit(self, request: ScheduledRequest) -> None:
        """Queue a request. Raises Overloaded if the queue is full or the request would miss its deadline."""
        with self._changed:
            if self._closing:
                raise Overloaded(self._closing, 1.0)
            ahead = self._waiting_tokens()
            # An idle model takes a request of any size: waiting would never make more capacity for it.
            if self._requests and ahead + request.cost > self.max_waiting_tokens:
                raise Overloaded("too many tokens wait already", self._throughput.seconds(ahead + request.cost) / 2)
            needed = self._throughput.seconds(self._tokens_until_done(request))
            left = request.deadline - time.monotonic()
            if self._requests and needed > left:
                raise Overloaded("the requests before this one take longer than it may wait", needed - left)
            request.submitted = time.monotonic()
            self._requests.add(request)
            fits = [request.tokens_alone(number) <= self._batch_tokens for number in range(len(request.order))]
            self._short.add(request, [number for number, is_short in enumerate(fits) if is_short])
            self._long.add(request, [number for number, is_short in enumerate(fits) if not is_short])
            self._changed.notify()

    def cancel(self, request: ScheduledRequest, error: BaseException) -> bool:
        """End a request with an error; False if it had ended already."""
        with self._changed:
            if request.is_over:
                return False
            self._end(request, error)
            return True

    def stats(self) -> SchedulerStats:
        """The state at this moment."""
        with self._changed:
            seconds = time.monotonic() - self._batch_began if self._batch_began else 0.0
            return SchedulerStats(
                self._waiting_tokens(), len(self._requests), seconds, self._failures, self._thread.is_alive()
            )

    def close(self, error: BaseException | None = None) -> None:
        """End all requests that are left, and the thread after the running batch."""
        with self._changed:
            self._closing = self._closing or "the model is being unloaded"
            for request in list(self._requests):
                self._end(request, error or Overloaded(self._closing, 1.0))
            self._changed.notify()
        self._thread.join()

    def in_forked_child(self) -> None:
        """Refuse all requests: the thread and the queue belong to the parent."""
        self._changed = threading.Condition()
        self._closing = "this process was forked from the one that judges"
        self._requests.clear()

    def _waiting_tokens(self) -> int:
        return self._short.tokens + self._long.tokens + sum(row.tokens for row in self._running)

    def _tokens_until_done(self, request: ScheduledRequest) -> int:
        """Tokens that are computed until a new request is done: all, or fewer where its tenant gets its turns."""
        short, long = self._short, self._long
        own = short.tokens_of(request.tenant) + long.tokens_of(request.tenant) + request.cost
        turns = own * len({request.tenant, *short.tenants, *long.tenants})
        running = sum(row.tokens for row in self._running)
        if request.longest <= self._batch_tokens:
            # A short row waits for the batch and for a step of a long row, not for the rest of it.
            running = min(running, 2 * self._batch_tokens)
        return min(self._waiting_tokens() + request.cost, turns + running)

    def _end(self, request: ScheduledRequest, error: BaseException | None = None) -> None:
        self._requests.discard(request)
        if error is not None:
            self._short.remove(request)
            self._long.remove(request)
        request.end(error)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._short or self._long or self._long_row or self._closing):
                    self._changed.wait()
                if self._closing:
                    return
                batch = self._next_batch(self._short, None)
                long = self._long_row or self._next_long_row()
                self._running = [*batch, *([long.row] if long else [])]
                for row in batch:
                    row.request.begun_N[row.index] = 1.0
                self._batch_began = time.monotonic()
            if batch:
                self._run(batch)
            if long:
                self._step(long)
            with self._changed:
                self._running = []
                self._batch_began = 0.0

    def _next_batch(self, queue: FairQueue, max_rows: int | None) -> list[ScheduledRow]:
        """Rows of requests that still run. A request after its deadline ends here and costs no batch."""
        while queue:
            batch = queue.pop_batch(self._batch_tokens, max_rows)
            now = time.monotonic()
            for request in {row.request for row in batch}:
                if request.deadline <= now and not request.is_over:
                    self._end(request, TimeoutError("the deadline passed while the request waited"))
                elif not request.started:
                    request.started = now
            if wanted := [row for row in batch if not row.request.is_over]:
                return wanted
        return []

    def _run(self, batch: Sequence[ScheduledRow]) -> None:
        started = time.monotonic()
        try:
            outputs_N = run_all(self.scorer.judge([row.request.rows[row.index] for row in batch]))
        except Exception as error:
            self._retry_separately(batch, error)
            return
        self._count(len(batch), sum(row.tokens for row in batch), time.monotonic() - started)
        self._deliver(batch, outputs_N)

    def _retry_separately(self, batch: Sequence[ScheduledRow], error: Exception) -> None:
        """Run the requests of a failed batch one by one: each fails only for itself."""
        requests = list(dict.fromkeys(row.request for row in batch))
        _log.error("a batch of %d rows of %d requests failed", len(batch), len(requests), exc_info=error)
        if len(requests) > 1:
            for request in requests:
                self._run([row for row in batch if row.request is request])
            return
        with self._changed:
            # One request that needs too much memory does not mean that others would.
            self._failures += not isinstance(error, OutOfMemoryError)
            if not requests[0].is_over:
                self._end(requests[0], error)

    def _next_long_row(self) -> _LongRow | None:
        for row in self._next_batch(self._long, 1):
            return _LongRow(row, row.tokens)
        return None

    def _step(self, long: _LongRow) -> None:
        """One step of a row that is longer than a batch. Other batches run between its steps."""
        self._long_row = None
        if long.row.request.is_over:
            if long.steps:
                long.steps.close()
            return
        started = time.monotonic()
        tokens = min(long.tokens_left, self._batch_tokens)
        long.row.request.begun_N[long.row.index] = 1.0 - (long.tokens_left - tokens) / long.row.tokens
        try:
            if long.steps is None:
                long.steps = self.scorer.judge([long.row.request.rows[long.row.index]])
            next(long.steps)
        except StopIteration as ended:
            long.row.request.begun_N[long.row.index] = 1.0
            self._count(1, long.tokens_left, time.monotonic() - started)
            self._deliver([long.row], ended.value)
        except Exception as error:
            self._retry_separately([long.row], error)
        else:
            self._count(0, tokens, time.monotonic() - started)
            long.tokens_left -= tokens
            self._long_row = long

    def _count(self, rows: int, tokens: int, seconds: float) -> None:
        with self._changed:
            self._failures = 0
            self._throughput.add(tokens, seconds)
        if self._on_batch:
            self._on_batch(rows, tokens, seconds)

    def _deliver(self, batch: Sequence[ScheduledRow], outputs_N: NDArray[np.float32]) -> None:
        with self._changed:
            for row, output in zip(batch, outputs_N, strict=True):
                if not row.request.is_over and row.request.set_output(row.index, output):
                    self._end(row.request)
