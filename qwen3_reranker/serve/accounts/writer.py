"""The writer of usage: rows of answered requests -> the store, in batches, by one thread, each exactly once."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from qwen3_reranker.errors import StoreError
from qwen3_reranker.serve.accounts.records import Credit, UsageRow
from qwen3_reranker.serve.accounts.store import Store

_LOGGER = logging.getLogger(__name__)
_BATCH_ROWS = 1000
# Longer than a store that fails takes to say so.
_CLOSING_SECONDS = 10.0


class UsageWriter:
    """Keeps rows until they are written: every `interval` seconds, or sooner when a batch is full.

    A process that is killed loses what it answered in the last interval and in the time of one write, nothing else.
    A row is in memory until the store has told that it holds it, and is written again if that is in doubt.
    """

    def __init__(
        self,
        store: Store,
        *,
        writing: Callable[[Iterable[UsageRow]], None],
        written: Callable[[Iterable[UsageRow], Mapping[str, Credit]], None],
        interval: float,
        most_rows: int,
        most_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`writing` and `written` are told of each batch, before and after. See `keeps_up` for the two bounds."""
        self._store = store
        self._writing = writing
        self._written = written
        self._interval = interval
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._monotonic = monotonic
        self._waiting: deque[tuple[float, UsageRow]] = deque()
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="usage-writer", daemon=True)
        self._thread.start()

    def add(self, row: UsageRow) -> None:
        """Take a row to be written; never waits and never fails."""
        self._waiting.append((self._monotonic(), row))
        if len(self._waiting) >= _BATCH_ROWS:
            self._wake.set()

    def keeps_up(self) -> bool:
        """Whether fewer than `most_rows` rows wait, none longer than `most_seconds`; if not, take no more requests."""
        try:
            since, _ = self._waiting[0]
        except IndexError:
            return True
        return len(self._waiting) < self._most_rows and self._monotonic() - since <= self._most_seconds

    def flush(self) -> None:
        """Write every row that was added before; raises StoreError, and then the rows stay."""
        with self._one_at_a_time:
            missing = len(self._waiting)
            while missing > 0:
                batch = [self._waiting[place][1] for place in range(min(missing, _BATCH_ROWS))]
                self._writing(batch)
                self._written(batch, self._store.write_usage(batch))
                for _ in batch:
                    self._waiting.popleft()
                missing -= len(batch)

    def close(self) -> None:
        """Write what is left and stop; raises StoreError if it cannot be written, and says how much is lost."""
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
                self.flush()
            except Exception as error:
                # Whatever it is, rows wait, and when they wait too long requests are refused.
                self._tell(error)
                self._closing.wait(self._interval)
            else:
                self._tell(None)

    def _tell(self, error: Exception | None) -> None:
        if error is not None and not self._failing:
            _LOGGER.warning("usage cannot be written, %d rows wait: %s", len(self._waiting), error)
        elif error is None and self._failing:
            _LOGGER.warning("usage is written again")
        self._failing = error is not None
