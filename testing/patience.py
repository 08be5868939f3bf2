"""Waiting for what must come: so long that no load of the machine ends it, as only a failure waits it out."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0


def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail when patience is at its end."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
