"""Admission: a request -> a reservation within its key's limits and credit, in memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from qwen3_reranker.serve.accounts.key_records import Credit, KeyRecord, UsageRow, month_end
from qwen3_reranker.serve.accounts.quota_state import QuotaState
from qwen3_reranker.serve.problems import budget_exceeded, insufficient_quota, rate_limited

_MAX_IDLE_KEYS = 10_000


class Admission:
    """The limits of every key that this server has seen; thread-safe."""

    def __init__(
        self,
        on_settled: Callable[[UsageRow], None],
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`on_settled` is called with the usage of each request that is charged."""
        self.monotonic = monotonic
        self.clock = clock
        self.on_settled = on_settled
        self.lock = threading.Lock()
        self._states: dict[str, QuotaState] = {}
        self._purge_at = _MAX_IDLE_KEYS

    def enter(self, key: KeyRecord) -> Reservation:
        """Admit a request before its body is read. Raises Problem 429 at the key's concurrency or request rate."""
        with self.lock:
            now = self.monotonic()
            state = self._state(key, now)
            if key.limits.concurrency is not None and state.in_flight >= key.limits.concurrency:
                raise rate_limited(
                    f"this API key may have {key.limits.concurrency:,} requests running at once",
                    1,
                    ratelimit_headers(state, now),
                )
            if state.requests is not None:
                if wait := state.requests.wait(1, now):
                    what = f"this API key may make {state.requests.limit:,} requests per minute"
                    raise rate_limited(what, wait, ratelimit_headers(state, now))
                state.requests.take(1)
            state.in_flight += 1
            state.last_request = now
        return Reservation(self, key, state)

    def refresh(self, key: KeyRecord) -> None:
        """Take a key's limits, credit and budget from a newer record of the store."""
        with self.lock:
            state = self._states.get(key.id)
            if state is None:
                return
            state.set_limits(key.limits, self.monotonic())
            # An unconfirmed record may hold amounts that still count as unwritten; `written` has better numbers.
            if not state.unconfirmed:
                state.refresh(key.credit)

    def writing(self, rows: Iterable[UsageRow]) -> None:
        """Note that usage is being written to the store."""
        with self.lock:
            for row in rows:
                if state := self._states.get(row.key_id):
                    state.unconfirmed = True

    def written(self, rows: Iterable[UsageRow], credits: Mapping[str, Credit]) -> None:
        """Note that usage is in the store, and the keys' credit and budget after it."""
        with self.lock:
            for row in rows:
                if state := self._states.get(row.key_id):
                    state.remove_unwritten(row)
            for key_id, credit in credits.items():
                if state := self._states.get(key_id):
                    state.refresh(credit)

    def _state(self, key: KeyRecord, now: float) -> QuotaState:
        state = self._states.get(key.id)
        if state is None:
            if len(self._states) >= self._purge_at:
                self._states = {id: other for id, other in self._states.items() if not other.is_idle(now)}
                self._purge_at = max(_MAX_IDLE_KEYS, 2 * len(self._states))
            state = self._states[key.id] = QuotaState(key, now)
        return state


class Reservation:
    """A running request within the limits of its key, until it is settled or released. Leaving it releases it."""

    def __init__(self, admission: Admission, key: KeyRecord, state: QuotaState) -> None:
        self.key = key
        self._admission = admission
        self._state = state
        self._tokens = 0
        self._cost = 0
        self._open = True

    def charge(self, tokens: int, cost: int) -> None:
        """Reserve the tokens of the request and their price in nanodollars, once they are counted.

        Raises Problem 429 at the key's token rate, and 402 beyond its credit or its budget of the month; both leave the
        reservation unchanged.
        """
        state = self._state
        with self._admission.lock:
            assert self._open, "the request is over"
            if not state.credit_covers(cost):
                raise insufficient_quota()
            if not state.budget_covers(cost, self._admission.clock()):
                raise budget_exceeded(month_end(state.month))
            if state.tokens is not None:
                now = self._admission.monotonic()
                if wait := state.tokens.wait(tokens, now):
                    what = f"this API key may send {state.tokens.limit:,} tokens per minute"
                    if math.isinf(wait):
                        what += f", and this request alone has {tokens:,}"
                    raise rate_limited(what, wait, ratelimit_headers(state, now))
                state.tokens.take(tokens)
            state.reserved += cost
            self._tokens += tokens
            self._cost += cost

    def headers(self) -> dict[str, str]:
        """The reply headers x-ratelimit-{limit,remaining,reset}-{requests,tokens} of the key."""
        with self._admission.lock:
            return ratelimit_headers(self._state, self._admission.monotonic())

    def settle(self, row: UsageRow) -> None:
        """The request is over: charge what the row holds, which is never more than was reserved."""
        with self._admission.lock:
            if not self._close():
                return
            if self._state.tokens is not None:
                self._state.tokens.take(row.prompt_tokens - self._tokens)
            self._state.add_unwritten(row)
        self._admission.on_settled(row)

    def release(self) -> None:
        """The request costs nothing: give tokens and credit back. It still counts as a request."""
        with self._admission.lock:
            if self._close() and self._state.tokens is not None:
                self._state.tokens.take(-self._tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close(self) -> bool:
        """Leave; false if the request had left before."""
        was_open, self._open = self._open, False
        if was_open:
            self._state.in_flight -= 1
            self._state.reserved -= self._cost
        return was_open


def ratelimit_headers(state: QuotaState, now: float) -> dict[str, str]:
    """The x-ratelimit headers of a key's limits."""
    headers = {}
    for what, bucket in (("requests", state.requests), ("tokens", state.tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{what}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(bucket.remaining(now))
            headers[f"x-ratelimit-reset-{what}"] = _duration(bucket.reset(now))
    return headers


def _duration(seconds: float) -> str:
    """A duration in OpenAI's format: 12ms, 7.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(round(seconds * 1000, 3))}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s"
