"""UsageWriter: rows of answered requests -> the store, in batches, each row exactly once."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from qwen3_reranker.serve.accounts.database import StoreError
from qwen3_reranker.serve.accounts.key_records import Credit, UsageRow
from qwen3_reranker.serve.accounts.store import Store

_LOGGER = logging.getLogger(__name__)
_BATCH_ROWS = 1000
# Longer than a failing store takes to return an error.
_CLOSING_SECONDS = 10.0


class UsageWriter:
    """Writes rows every `interval` seconds, or earlier when a batch is full.

    A killed process loses only the rows of the last interval and of one write. A row stays in memory until the store
    confirms it, and is written again if that is uncertain.
    """

    def __init__(
        self,
        store: Store,
        *,
        writing: Callable[[Iterable[UsageRow]], None],
        written: Callable[[Iterable[UsageRow], Mapping[str, Credit]], None],
        interval: float,
        max_rows: int,
        max_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`writing` and `written` are called before and after each batch. `keeps_up` explains the two bounds."""
        self._store = store
        self._writing = writing
        self._written = written
        self._interval = interval
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._monotonic = monotonic
        self._waiting: deque[tuple[float, UsageRow]] = deque()
        self._flush_lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="usage-writer", daemon=True)
        self._thread.start()

    def add(self, row: UsageRow) -> None:
        """Queue a row; never waits and never fails."""
        self._waiting.append((self._monotonic(), row))
        if len(self._waiting) >= _BATCH_ROWS:
            self._wake.set()

    def keeps_up(self) -> bool:
        """Whether fewer than `max_rows` rows wait, none longer than `max_seconds`; else refuse requests."""
        return len(self._waiting) < self._max_rows and self.oldest_seconds() <= self._max_seconds

    @property
    def is_failing(self) -> bool:
        """Whether the store failed when it was last used."""
        return self._failing

    def oldest_seconds(self) -> float:
        """Age of the oldest row that waits, 0 for none."""
        try:
            since, _ = self._waiting[0]
        except IndexError:
            return 0.0
        return self._monotonic() - since

    def flush(self) -> None:
        """Write every queued row; raises StoreError, and then keeps the rows."""
        with self._flush_lock:
            missing = len(self._waiting)
            while missing > 0:
                batch = [self._waiting[index][1] for index in range(min(missing, _BATCH_ROWS))]
                self._writing(batch)
                self._written(batch, self._store.write_usage(batch))
                for _ in batch:
                    self._waiting.popleft()
                missing -= len(batch)

    def close(self) -> None:
        """Write the queued rows and stop; raises StoreError with the number of lost rows."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSING_SECONDS)
        if self._thread.is_alive():
            raise StoreError(f"{len(self._waiting):,} rows of usage are lost: the store does not answer")
        try:
            self.flush()
        except StoreError as error:
            raise StoreError(f"{len(self._waiting):,} rows of usage are lost: {error}") from error

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._interval)
            self._wake.clear()
            try:
                if self._waiting:
                    self.flush()
                else:
                    self._store.check()
            except Exception as error:
                # After any error the rows wait; when they wait too long, requests are refused.
                self._log_change(error)
                self._closing.wait(self._interval)
            else:
                self._log_change(None)

    def _log_change(self, error: Exception | None) -> None:
        if error is not None and not self._failing:
            _LOGGER.warning("the store fails, %d rows of usage wait: %s", len(self._waiting), error)
        elif error is None and self._failing:
            _LOGGER.warning("the store answers again")
        self._failing = error is not None
