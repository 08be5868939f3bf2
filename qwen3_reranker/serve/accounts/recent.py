"""What was looked up lately: a few values by name, each for a few seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """At most `most` values, the oldest going first, none older than `seconds`; for use by many threads."""

    def __init__(self, seconds: float, most: int, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._monotonic = monotonic
        self._values: OrderedDict[str, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Value | None:
        """The value, if it is there and young enough."""
        with self._lock:
            since, value = self._values.get(name, (0.0, None))
        return value if value is not None and self._monotonic() - since < self._seconds else None

    def put(self, name: str, value: Value, since: float) -> None:
        """Keep a value that was true at `since`, the time before it was looked up."""
        with self._lock:
            self._values.pop(name, None)
            self._values[name] = since, value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
