"""Waiting for an expected condition, long enough for a busy machine; only a failure waits to the end."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0


def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail after PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
