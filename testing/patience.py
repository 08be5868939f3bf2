"""Waiting for an expected condition, long enough for a busy machine; only a failure waits to the end."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0


def until(condition: Callable[[], bool], failure: Callable[[], str] = lambda: "it did not come about") -> None:
    """Return once the condition holds; fail after PATIENCE_SECONDS, with the words of `failure`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, failure()
        time.sleep(0.01)
