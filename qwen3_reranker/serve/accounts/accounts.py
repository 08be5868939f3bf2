"""Accounts: what a server asks about keys; one for each process, behind it the store, in front of it memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from qwen3_reranker.errors import StoreError
from qwen3_reranker.serve.accounts.admission import Admission, Reservation
from qwen3_reranker.serve.accounts.problems import accounts_unavailable, invalid_api_key
from qwen3_reranker.serve.accounts.recent import Recent
from qwen3_reranker.serve.accounts.records import KeyFacts, KeyRecord, UsageRow, UsageSum
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.accounts.writer import UsageWriter

_MOST_KEYS = 10_000
_MOST_UNKNOWN = 10_000
_DAY = 86_400
_RETRY_SECONDS = 1.0
_MOST_ASKING = 4
_TURN_SECONDS = 2.0


class Accounts:
    """Keys, their limits and credit, and their usage; for use by many threads.

    `cached` and `enter` never wait; `find`, the queries, `flush` and `close` may go to the database, so call them in a
    thread. On one server credit is never overspent. Servers that share a database learn of each other's spending
    within flush_interval + cache_seconds, and each may let through what it can within that time; rates and
    concurrency count on each server by itself, and begin anew when it starts. A revocation takes effect within
    cache_seconds.
    """

    def __init__(
        self,
        url: str,
        pepper: bytes | None = None,
        *,
        flush_interval: float = 1.0,
        cache_seconds: float = 5.0,
        most_waiting_rows: int = 20_000,
        most_waiting_seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the store at a path, sqlite:///PATH or postgresql://..., making it on first use.

        Once so many rows of usage wait to be written, or one so long, requests are refused. Raises InputError and
        StoreError as Store does.
        """
        self._store = Store(url, pepper)
        self._clock = clock
        self._monotonic = monotonic
        self._retry_at = -float("inf")
        self._asking = threading.BoundedSemaphore(_MOST_ASKING)
        self._known: Recent[KeyRecord] = Recent(cache_seconds, _MOST_KEYS, monotonic)
        self._unknown: Recent[bool] = Recent(cache_seconds, _MOST_UNKNOWN, monotonic)
        self._admission = Admission(self._settled, monotonic)
        self._writer = UsageWriter(
            self._store,
            writing=self._admission.writing,
            written=self._admission.written,
            interval=flush_interval,
            most_rows=most_waiting_rows,
            most_seconds=most_waiting_seconds,
            monotonic=monotonic,
        )

    def cached(self, presented: bytes) -> KeyRecord | None:
        """The key if memory tells, None if the store must be asked (`find`); raises Problem 401 if it is not valid.

        `presented` is what the request carried, nothing included.
        """
        digest = self._store.digest(presented)
        if self._unknown.get(digest):
            raise invalid_api_key()
        record = self._known.get(digest)
        return None if record is None else self._valid(record)

    def find(self, presented: bytes) -> KeyRecord:
        """The key, if need be from the store; raises Problem 401 if it is not valid, 503 if that cannot be told."""
        if known := self.cached(presented):
            return known
        digest, since = self._store.digest(presented), self._monotonic()
        with self._answering():
            record = self._store.find(digest)
        if record is None:
            self._unknown.put(digest, True, since)
            raise invalid_api_key()
        self._known.put(digest, record, since)
        self._admission.learn(record)
        return self._valid(record)

    def enter(self, key: KeyRecord) -> Reservation:
        """Let a request of this key in, before its body is read; then `charge` it, and `settle` or leave it.

        Raises Problem 429 if the key has too many requests now or this minute, 503 if usage cannot be written.
        """
        if not self._writer.keeps_up():
            raise accounts_unavailable()
        return self._admission.enter(key)

    def key_facts(self, key: KeyRecord) -> KeyFacts:
        """The key as the store has it now, and what it used lately; raises Problem 503.

        Usage is in it after at most flush_interval.
        """
        now = datetime.fromtimestamp(self._clock(), UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        begins = [midnight, midnight - timedelta(days=midnight.weekday()), midnight.replace(day=1)]
        today, week, month = (int(begin.timestamp()) for begin in begins)
        with self._answering():
            record = self._store.key(key.id)
            days = self._store.usage(key.id, min(week, month), today + _DAY, _DAY)
        if record is None:
            raise invalid_api_key()
        return KeyFacts(
            record, *(sum(day.cost for day in days if day.start >= begin) for begin in (today, week, month))
        )

    def usage(self, key: KeyRecord, since: int, until: int, bucket: int) -> list[UsageSum]:
        """What the key used by model in the hours from `since` until `until`, in buckets of so many seconds.

        A bucket is whole hours long and begins at a multiple of its length. Raises Problem 503.
        """
        with self._answering():
            return self._store.usage(key.id, since, until, bucket)

    def flush(self) -> None:
        """Write all usage that was settled before; raises StoreError, and then it waits on."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the store; raises StoreError, with the number of rows that are lost."""
        try:
            self._writer.close()
        finally:
            self._store.close()

    def _valid(self, record: KeyRecord) -> KeyRecord:
        if record.state(self._clock()) != "active":
            raise invalid_api_key()
        return record

    def _settled(self, row: UsageRow) -> None:
        self._writer.add(row)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        # Who asks a store that does not answer waits for seconds or for ever, in one of the server's few threads.
        if self._monotonic() < self._retry_at:
            raise accounts_unavailable()
        if not self._asking.acquire(timeout=_TURN_SECONDS):
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            raise accounts_unavailable()
        try:
            yield
        except StoreError as error:
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            raise accounts_unavailable() from error
        finally:
            self._asking.release()
