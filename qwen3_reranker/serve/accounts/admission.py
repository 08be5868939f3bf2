"""Admission: a request of a key -> a reservation among the key's limits and credit, in memory alone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from qwen3_reranker.serve.accounts.bucket import Bucket
from qwen3_reranker.serve.accounts.problems import insufficient_quota, rate_limited
from qwen3_reranker.serve.accounts.records import Credit, KeyRecord, UsageRow

_MOST_IDLE = 10_000
# Longer than a bucket takes to fill and than any record of the key from before its last use is believed.
_IDLE_SECONDS = 600.0


class _Standing:
    """Where one key stands on this server.

    credit: as the store last told. unwritten: nanodollars of requests that were answered and are not in the store for
    certain; reserved: of requests that still run. in_doubt: some of the unwritten may be in the store already.
    """

    __slots__ = ("credit", "entered", "in_doubt", "in_flight", "requests", "reserved", "tokens", "unwritten")

    def __init__(self, key: KeyRecord, now: float) -> None:
        limits = key.limits
        self.requests = None if limits.requests is None else Bucket(limits.requests, now)
        self.tokens = None if limits.tokens is None else Bucket(limits.tokens, now)
        self.credit = Credit(key.credit_granted, key.credit_used)
        self.entered = now
        self.in_flight = 0
        self.reserved = 0
        self.unwritten = 0
        self.in_doubt = False

    def covers(self, cost: int) -> bool:
        spent = self.credit.used + self.unwritten + self.reserved
        return cost == 0 or self.credit.granted is None or spent + cost <= self.credit.granted

    def learn(self, credit: Credit) -> None:
        # What is used only grows, so of two readings that overtake each other the larger is the later.
        self.credit = Credit(credit.granted, max(credit.used, self.credit.used))

    def idle(self, now: float) -> bool:
        return not (self.in_flight or self.unwritten) and now - self.entered > _IDLE_SECONDS


class Admission:
    """The limits of every key that this server knows; for use by many threads."""

    def __init__(self, settled: Callable[[UsageRow], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        """`settled` is called with the usage of each request that was answered."""
        self.monotonic = monotonic
        self.settled = settled
        self.lock = threading.Lock()
        self._standings: dict[str, _Standing] = {}
        self._tidy_at = _MOST_IDLE

    def enter(self, key: KeyRecord) -> Reservation:
        """Let a request in, before its body is read; raises Problem 429 if the key has too many now or this minute."""
        with self.lock:
            now = self.monotonic()
            standing = self._standing(key, now)
            if key.limits.concurrency is not None and standing.in_flight >= key.limits.concurrency:
                raise rate_limited(
                    f"this API key may have {key.limits.concurrency:,} requests running at once",
                    1,
                    _told(standing, now),
                )
            if standing.requests is not None:
                if wait := standing.requests.wait(1, now):
                    what = f"this API key may make {standing.requests.limit:,} requests per minute"
                    raise rate_limited(what, wait, _told(standing, now))
                standing.requests.take(1)
            standing.in_flight += 1
            standing.entered = now
        return Reservation(self, key, standing)

    def learn(self, key: KeyRecord) -> None:
        """Take over what the store says of a key's credit."""
        with self.lock:
            standing = self._standings.get(key.id)
            # In doubt, the reading may hold amounts that are still counted as unwritten; the writing tells better.
            if standing is not None and not standing.in_doubt:
                standing.learn(Credit(key.credit_granted, key.credit_used))

    def writing(self, rows: Iterable[UsageRow]) -> None:
        """Usage is on its way into the store."""
        with self.lock:
            for row in rows:
                if standing := self._standings.get(row.key_id):
                    standing.in_doubt = True

    def written(self, rows: Iterable[UsageRow], credits: Mapping[str, Credit]) -> None:
        """Usage is in the store, and this is what the keys' credit is with it."""
        with self.lock:
            for row in rows:
                if standing := self._standings.get(row.key_id):
                    standing.unwritten -= row.cost
                    standing.in_doubt = False
            for key_id, credit in credits.items():
                if standing := self._standings.get(key_id):
                    standing.learn(credit)

    def _standing(self, key: KeyRecord, now: float) -> _Standing:
        standing = self._standings.get(key.id)
        if standing is None:
            if len(self._standings) >= self._tidy_at:
                self._standings = {name: each for name, each in self._standings.items() if not each.idle(now)}
                self._tidy_at = max(_MOST_IDLE, 2 * len(self._standings))
            standing = self._standings[key.id] = _Standing(key, now)
        return standing


class Reservation:
    """A request's place among the limits of its key, until it is settled or released; leaving it releases it."""

    def __init__(self, admission: Admission, key: KeyRecord, standing: _Standing) -> None:
        self.key = key
        self._admission = admission
        self._standing = standing
        self._tokens = 0
        self._cost = 0
        self._open = True

    def charge(self, tokens: int, cost: int) -> None:
        """Reserve what the request will take, once it is counted: tokens, and their price in nanodollars.

        Raises Problem 429 if the key's tokens of this minute do not suffice, 402 if its credit does not; either leaves
        the reservation as it was.
        """
        standing = self._standing
        with self._admission.lock:
            assert self._open, "the request is over"
            if not standing.covers(cost):
                raise insufficient_quota()
            if standing.tokens is not None:
                now = self._admission.monotonic()
                if wait := standing.tokens.wait(tokens, now):
                    what = f"this API key may send {standing.tokens.limit:,} tokens per minute"
                    if math.isinf(wait):
                        what += f", and this request alone has {tokens:,}"
                    raise rate_limited(what, wait, _told(standing, now))
                standing.tokens.take(tokens)
            standing.reserved += cost
            self._tokens += tokens
            self._cost += cost

    def headers(self) -> dict[str, str]:
        """What a reply says of the key's limits: x-ratelimit-{limit,remaining,reset}-{requests,tokens}."""
        with self._admission.lock:
            return _told(self._standing, self._admission.monotonic())

    def settle(self, row: UsageRow) -> None:
        """The request was answered: what the row says it took is what it is charged."""
        with self._admission.lock:
            if not self._close():
                return
            if self._standing.tokens is not None:
                self._standing.tokens.take(row.prompt_tokens - self._tokens)
            self._standing.unwritten += row.cost
        self._admission.settled(row)

    def release(self) -> None:
        """The request was not answered: tokens and credit go back. It stays counted as a request."""
        with self._admission.lock:
            if self._close() and self._standing.tokens is not None:
                self._standing.tokens.take(-self._tokens)

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
            self._standing.in_flight -= 1
            self._standing.reserved -= self._cost
        return was_open


def _told(standing: _Standing, now: float) -> dict[str, str]:
    headers = {}
    for what, bucket in (("requests", standing.requests), ("tokens", standing.tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{what}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(bucket.remaining(now))
            headers[f"x-ratelimit-reset-{what}"] = _duration(bucket.reset(now))
    return headers


def _duration(seconds: float) -> str:
    """A duration as OpenAI writes it: 12ms, 7.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(round(seconds * 1000, 3))}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s"
