"""Ctrl-C in training. The first one ends the run after the step, the second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

STOPPING = "stopping after this step; Ctrl-C again stops now"


class Interruption:
    """Catches Ctrl-C inside the block and sets `requested`; outside the main thread it does nothing.

    on_message: called with STOPPING at the first Ctrl-C.
    """

    def __init__(self, on_message: Callable[[str], None] | None = None) -> None:
        self.requested = False
        self._on_message = on_message
        self._waits = True
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside this block the first Ctrl-C raises KeyboardInterrupt, because the work can be repeated."""
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._waits:
            raise KeyboardInterrupt
        self.requested = True
        if self._on_message:
            # A stream refuses a second write while the first one is in progress.
            with suppress(RuntimeError):
                self._on_message(STOPPING)
