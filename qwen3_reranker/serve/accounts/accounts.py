"""Accounts: the keys of one server process, from the store and its caches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from qwen3_reranker.serve.accounts.admission import Admission, Reservation
from qwen3_reranker.serve.accounts.database import StoreError
from qwen3_reranker.serve.accounts.key_records import KeyFacts, KeyRecord, UsageSum, month_start
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.accounts.ttl_cache import TTLCache
from qwen3_reranker.serve.accounts.writer import UsageWriter
from qwen3_reranker.serve.problems import accounts_unavailable, invalid_api_key

Result = TypeVar("Result")

_MAX_KEYS = 10_000
_MAX_UNKNOWN_KEYS = 10_000
_RETRY_SECONDS = 1.0
_MAX_STORE_READERS = 4
_READER_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class AccountsHealth:
    """Whether the store answered when it was last used, and the age in seconds of the oldest unwritten usage."""

    is_up: bool
    oldest_unwritten_seconds: float


class Accounts:
    """Keys, their limits and credit, and their usage; thread-safe.

    `cached` and `enter` never wait. `find`, the queries, `flush` and `close` may access the database, so call them in a
    worker thread. One server never overspends credit. Servers that share a database see each other's spending within
    flush_interval + cache_seconds, and may overspend in that time. Rates and concurrency count per server, from its
    start. A revocation takes effect within cache_seconds.
    """

    def __init__(
        self,
        url: str,
        pepper: bytes | None = None,
        *,
        create: bool = False,
        flush_interval: float = 1.0,
        cache_seconds: float = 5.0,
        max_waiting_rows: int = 20_000,
        max_waiting_seconds: float = 30.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the store at a path, sqlite:///PATH or postgresql://...; without `create` it must be there.

        Requests are refused once max_waiting_rows rows of usage are not written, or one waits max_waiting_seconds.
        Raises InputError and StoreError as Store does.
        """
        self.store = Store(url, pepper, create=create, clock=clock)
        self._clock = clock
        self._monotonic = monotonic
        self._retry_at = -float("inf")
        self._readers = threading.BoundedSemaphore(_MAX_STORE_READERS)
        self._known: TTLCache[KeyRecord] = TTLCache(cache_seconds, _MAX_KEYS, monotonic)
        self._unknown: TTLCache[bool] = TTLCache(cache_seconds, _MAX_UNKNOWN_KEYS, monotonic)
        self._admission = Admission(lambda row: self._writer.add(row), monotonic, clock)
        self._writer = UsageWriter(
            self.store,
            writing=self._admission.writing,
            written=self._admission.written,
            interval=flush_interval,
            max_rows=max_waiting_rows,
            max_seconds=max_waiting_seconds,
            monotonic=monotonic,
        )

    def cached(self, presented: bytes) -> KeyRecord | None:
        """The key from the cache, None if the store must be read (`find`). Raises Problem 401 if it is not valid.

        `presented` is the key as the request carries it, empty for none.
        """
        digest = self.store.digest(presented)
        if self._unknown.get(digest):
            raise invalid_api_key()
        record = self._known.get(digest)
        return None if record is None else self._valid(record)

    def find(self, presented: bytes) -> KeyRecord:
        """The key from the cache or the store. Raises Problem 401 if it is not valid, 503 without the store."""
        if known := self.cached(presented):
            return known
        digest, since = self.store.digest(presented), self._monotonic()
        with self._reading():
            record = self.store.find(digest)
        if record is None:
            self._unknown.put(digest, True, since)
            raise invalid_api_key()
        self._known.put(digest, record, since)
        self._admission.refresh(record)
        return self._valid(record)

    def enter(self, key: KeyRecord) -> Reservation:
        """Admit a request of this key before its body is read. Then `charge` and `settle` it, or leave it.

        Raises Problem 429 at the key's concurrency or request rate, 503 if usage cannot be written.
        """
        if not self._writer.keeps_up():
            raise accounts_unavailable()
        return self._admission.enter(key)

    def key_facts(self, key_id: str) -> KeyFacts | None:
        """A key and its recent usage from the store, at most flush_interval old. Raises Problem 503."""
        with self._reading():
            record = self.store.key(key_id)
            costs = self.store.costs(self._begins(), [key_id])
        return None if record is None else KeyFacts(record, *costs.get(key_id, (0, 0, 0)))

    def usage(
        self, key_id: str | None, since: int, until: int, bucket: int, limit: int | None = None
    ) -> list[UsageSum]:
        """Usage by key and model from `since` until `until`, in buckets of `bucket` seconds; of one key, or of all.

        Times are Unix seconds. A bucket has whole hours and starts at a multiple of its length. Raises Problem 503.
        """
        with self._reading():
            return self.store.usage(key_id, since, until, bucket, limit)

    def _begins(self) -> tuple[int, int, int]:
        """Today, this week and this month."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        week = today - timedelta(days=today.weekday())
        return int(today.timestamp()), int(week.timestamp()), month_start(self._clock())

    def health(self) -> AccountsHealth:
        """The state of the store, as every flush finds it; never waits."""
        return AccountsHealth(not self._writer.is_failing, self._writer.oldest_seconds())

    def administer(self, change: Callable[[Store], Result]) -> Result:
        """What `change` gives for the store. This server follows it at once, others within their cache_seconds.

        Raises what `change` raises, and Problem 503 without the store.
        """
        with self._reading():
            result = change(self.store)
        # All keys are read again: an old and a new text may stand for the one that has changed.
        self._known.clear()
        self._unknown.clear()
        return result

    def all_facts(self, after: str | None, limit: int) -> list[KeyFacts]:
        """Keys in the order of Store.all_keys, and their recent usage from the store. Raises Problem 503."""
        with self._reading():
            records = self.store.all_keys(after, limit)
            costs = self.store.costs(self._begins(), [record.id for record in records])
        return [KeyFacts(record, *costs.get(record.id, (0, 0, 0))) for record in records]

    def flush(self) -> None:
        """Write all usage settled so far; raises StoreError, and then keeps it."""
        self._writer.flush()

    def close(self) -> None:
        """Write the remaining usage and close the store. Raises StoreError with the number of lost rows."""
        try:
            self._writer.close()
        finally:
            self.store.close()

    def _valid(self, record: KeyRecord) -> KeyRecord:
        if record.state(self._clock()) != "active":
            raise invalid_api_key()
        return record

    @contextmanager
    def _reading(self) -> Iterator[None]:
        # A read of a store that does not answer blocks one of the server's few threads for seconds or for ever.
        if self._monotonic() < self._retry_at:
            raise accounts_unavailable()
        if not self._readers.acquire(timeout=_READER_WAIT_SECONDS):
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            raise accounts_unavailable()
        try:
            yield
        except StoreError as error:
            self._retry_at = self._monotonic() + _RETRY_SECONDS
            raise accounts_unavailable() from error
        finally:
            self._readers.release()
