"""Admission: a request -> a reservation within its key's limits and credit, in memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from qwen3_reranker.serve.accounts.bucket import Bucket
from qwen3_reranker.serve.accounts.key_records import Credit, KeyRecord, UsageRow
from qwen3_reranker.serve.problems import insufficient_quota, rate_limited

_MAX_IDLE_KEYS = 10_000
# Longer than a bucket takes to fill, and longer than an older record of the key is cached.
_IDLE_SECONDS = 600.0


class QuotaState:
    """Limits and credit of one key on this server.

    credit: from the store. unwritten: nanodollars of answered requests that the store may not hold yet; reserved: of
    running requests. unconfirmed: the store may already hold some of the unwritten amounts.
    """

    __slots__ = ("credit", "in_flight", "last_request", "requests", "reserved", "tokens", "unconfirmed", "unwritten")

    def __init__(self, key: KeyRecord, now: float) -> None:
        limits = key.limits
        self.requests = None if limits.requests is None else Bucket(limits.requests, now)
        self.tokens = None if limits.tokens is None else Bucket(limits.tokens, now)
        self.credit = Credit(key.credit_granted, key.credit_used)
        self.last_request = now
        self.in_flight = 0
        self.reserved = 0
        self.unwritten = 0
        self.unconfirmed = False

    def covers(self, cost: int) -> bool:
        """Whether the credit is enough for a further cost in nanodollars."""
        spent = self.credit.used + self.unwritten + self.reserved
        return cost == 0 or self.credit.granted is None or spent + cost <= self.credit.granted

    def refresh(self, credit: Credit) -> None:
        """Take newer credit from the store."""
        # The used amount only grows, so of two reads that overtake each other the larger one is newer.
        self.credit = Credit(credit.granted, max(credit.used, self.credit.used))

    def is_idle(self, now: float) -> bool:
        """Whether nothing is lost when this state is dropped."""
        return not (self.in_flight or self.unwritten) and now - self.last_request > _IDLE_SECONDS


class Admission:
    """The limits of every key that this server has seen; thread-safe."""

    def __init__(self, on_settled: Callable[[UsageRow], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`on_settled` is called with the usage of each answered request."""
        self.monotonic = monotonic
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
        """Take a key's credit from a newer record of the store."""
        with self.lock:
            state = self._states.get(key.id)
            # An unconfirmed record may hold amounts that still count as unwritten; `written` has better numbers.
            if state is not None and not state.unconfirmed:
                state.refresh(Credit(key.credit_granted, key.credit_used))

    def writing(self, rows: Iterable[UsageRow]) -> None:
        """Note that usage is being written to the store."""
        with self.lock:
            for row in rows:
                if state := self._states.get(row.key_id):
                    state.unconfirmed = True

    def written(self, rows: Iterable[UsageRow], credits: Mapping[str, Credit]) -> None:
        """Note that usage is in the store, and the keys' credit after it."""
        with self.lock:
            for row in rows:
                if state := self._states.get(row.key_id):
                    state.unwritten -= row.cost
                    state.unconfirmed = False
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

        Raises Problem 429 at the key's token rate and 402 without enough credit; both leave the reservation unchanged.
        """
        state = self._state
        with self._admission.lock:
            assert self._open, "the request is over"
            if not state.covers(cost):
                raise insufficient_quota()
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
        """The request was answered: charge what the row holds."""
        with self._admission.lock:
            if not self._close():
                return
            if self._state.tokens is not None:
                self._state.tokens.take(row.prompt_tokens - self._tokens)
            self._state.unwritten += row.cost
        self._admission.on_settled(row)

    def release(self) -> None:
        """The request was not answered: give tokens and credit back. It still counts as a request."""
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
