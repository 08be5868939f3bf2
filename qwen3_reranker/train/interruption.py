"""Ctrl-C in training: the first is granted when the step is whole, the second ends the run at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

STOPPING = "stopping after this step; Ctrl-C again stops now"


class Interruption:
    """While the block lasts, whether the user has asked to stop; in a thread of its own nobody can.

    tell: is told STOPPING as soon as Ctrl-C is pressed.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.requested = False
        self._tell = tell
        self._waits = True
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first Ctrl-C raise KeyboardInterrupt: what is done in this block can simply be done again."""
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._waits:
            raise KeyboardInterrupt
        self.requested = True
        if self._tell:
            # A stream that is being written to at this moment refuses a second writer.
            with suppress(RuntimeError):
                self._tell(STOPPING)
