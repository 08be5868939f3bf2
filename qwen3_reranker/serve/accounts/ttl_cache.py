"""TTLCache: recently read values by name, each for a few seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class TTLCache(Generic[Value]):
    """Up to `max_size` values, of which the oldest goes first, none older than `seconds`; thread-safe."""

    def __init__(self, seconds: float, max_size: int, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._max_size = max_size
        self._monotonic = monotonic
        self._cleared = -float("inf")
        self._values: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Value | None:
        """The value, or None if it is absent or too old."""
        with self._lock:
            since, value = self._values.get(name, (0.0, None))
        return value if value is not None and self._monotonic() - since < self._seconds else None

    def put(self, name: str, value: Value, since: float) -> None:
        """Store a value that was true at `since`, the time before it was read; not if the cache was cleared later."""
        with self._lock:
            if since <= self._cleared:
                return
            self._values.pop(name, None)
            self._values[name] = since, value
            if len(self._values) > self._max_size:
                self._values.popitem(last=False)

    def clear(self) -> None:
        """Forget all values, and those that are being read."""
        with self._lock:
            self._cleared = self._monotonic()
            self._values.clear()
