"""Progress of long work: a bar on a terminal, elsewhere a line or two."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING

from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.uninterrupted import start_uninterrupted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_MEASURED_SECONDS = 5.0
_LONG_SECONDS = 60.0


class ProgressBar:
    """Shows on stderr that work goes on, and the share done once it is known.

    On a terminal, a bar after `after_seconds`. Elsewhere one line for work that has said nothing for `silent_seconds`,
    and one with the time left where that is a minute or more, as soon as it is known. work: how much there is to do.
    """

    def __init__(
        self,
        description: str,
        work: str = "",
        *,
        after_seconds: float = 1.0,
        silent_seconds: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._description, self._work = description, work
        self._after_seconds, self._silent_seconds = after_seconds, silent_seconds
        self._clock = clock
        self._turn = Lock()
        self._share = 0.0
        self._first: tuple[float, float] | None = None
        self._told = self._estimated = False
        self._over = False
        self._terminal = False
        self._timer: Timer | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, share: float) -> None:
        """Take note of the share done, 0 to 1."""
        with self._turn:
            self._share = share
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, total=1.0, completed=share)
            elif not (self._terminal or self._estimated):
                self._estimate(share)

    def stage(self, description: str, work: str = "") -> None:
        """Go on with other work, of which nothing is done yet."""
        with self._turn:
            self._description, self._work = description, work
            self._share, self._first = 0.0, None
            self._told = self._estimated = False
            if self._bar is not None and self._task is not None:
                self._bar.remove_task(self._task)
                self._task = self._bar.add_task(description, total=None)
            elif not self._terminal:
                self._wait()

    def __enter__(self) -> ProgressBar:
        self._terminal = on_terminal(sys.stderr)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._timer is not None:
            self._timer.cancel()
        with self._turn:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._terminal:
            self._timer = Timer(self._after_seconds, self._show)
        else:
            self._timer = Timer(self._silent_seconds, self._break_silence)
        self._timer.daemon = True
        start_uninterrupted(self._timer)

    def _break_silence(self) -> None:
        with self._turn:
            if not self._told and not self._over:
                self._told = True
                note(f"{self._named} ...")

    def _estimate(self, share: float) -> None:
        # From the first share on: before it come tokens and what is made of weights, which no later share repeats.
        now = self._clock()
        if self._first is None:
            self._first = now, share
            return
        began, before = self._first
        if now - began < _MEASURED_SECONDS or share <= before:
            return
        left = (now - began) / (share - before) * (1 - share)
        if left >= _LONG_SECONDS:
            note(f"{self._named}: about {duration(left)} left")
        self._told = self._estimated = True

    @property
    def _named(self) -> str:
        return f"{self._description} {self._work}".rstrip()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        from qwen3_reranker.cli.terminal import coloured

        console = Console(stderr=True, color_system="auto" if coloured(sys.stderr) else None)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with self._turn:
            if not self._over:
                # What is printed meanwhile is a result, and may not go where the bar is.
                self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
                self._task = self._bar.add_task(self._description, total=1.0 if self._share else None)
                self._bar.update(self._task, completed=self._share)
                self._bar.start()


def duration(seconds: float) -> str:
    """A time as people say it, to two digits or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 600 else f"{round(minutes / 60):,} h"
