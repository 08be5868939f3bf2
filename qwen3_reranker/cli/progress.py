"""A progress bar for work that takes long, on a terminal only; it leaves nothing behind."""

from __future__ import annotations

import sys
from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING

from qwen3_reranker.cli.terminal import on_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressBar:
    """Shows, on stderr and after so many seconds, the share done that it is told."""

    def __init__(self, description: str, *, after_seconds: float = 1.0) -> None:
        self._description = description
        self._after_seconds = after_seconds
        self._turn = Lock()
        self._share = 0.0
        self._over = False
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, share: float) -> None:
        """Take note of the share done, 0 to 1."""
        with self._turn:
            self._share = share
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, completed=share)

    def __enter__(self) -> ProgressBar:
        if on_terminal(sys.stderr):
            self._timer: Timer | None = Timer(self._after_seconds, self._show)
            self._timer.daemon = True
            self._timer.start()
        else:
            self._timer = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._turn:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        from qwen3_reranker.cli.terminal import coloured

        console = Console(stderr=True, color_system="auto" if coloured(sys.stderr) else None)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with self._turn:
            if not self._over:
                self._bar = Progress(*columns, console=console, transient=True)
                self._task = self._bar.add_task(self._description, total=1.0)
                self._bar.update(self._task, completed=self._share)
                self._bar.start()
