"""Reloader: at SIGHUP the settings are read again, and a running server takes over those that need no restart."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from qwen3_reranker.errors import CalibrationError, RerankerError
from qwen3_reranker.serve.application import Application
from qwen3_reranker.serve.log import set_log_level
from qwen3_reranker.serve.service_manager import notify, notify_reloading
from qwen3_reranker.serve.settings import ServerSettings, reloaded

_log = logging.getLogger(__name__)


class Reloader:
    """Reads the settings again at SIGHUP. What cannot be used is logged, and the server keeps what it has.

    A terminal that is closed sends SIGHUP too. A server whose messages went there then ends as by SIGTERM.
    """

    def __init__(self, read: Callable[[], ServerSettings]) -> None:
        """`read` gives the settings from file, environment and flags; it may raise a RerankerError."""
        self._read = read
        self._application: Application | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()
        self._is_early = False
        self._was_on_terminal = os.isatty(2)

    @contextmanager
    def on_signal(self) -> Iterator[None]:
        """Answer SIGHUP, which would end the process, in the main thread of a system that has it."""
        if not hasattr(signal, "SIGHUP"):
            yield
            return
        before = signal.signal(signal.SIGHUP, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def begin(self, application: Application) -> None:
        """Reload this application from now on, and once if a signal came earlier. To be called in its event loop."""
        self._application, self._loop = application, asyncio.get_running_loop()
        if self._is_early:
            self._start()

    async def reload(self, application: Application) -> None:
        """Read the settings and apply those that changed."""
        async with self._turn:
            try:
                read = await asyncio.to_thread(self._read)
            except RerankerError as error:
                _log.error("the settings are as before: %s", error)
                return
            settings, changed, refused = reloaded(application.context.settings, read)
            if refused:
                _log.warning("these settings are as before until a restart: %s", ", ".join(refused))
            # The file of a calibration may have changed under its name.
            if changed or any(model.calibration for model in settings.models):
                before = {model.id: model.calibration for model in application.context.models.rerankers}
                notify_reloading()
                try:
                    await application.reload(settings)
                except CalibrationError as error:
                    _log.error("the settings are as before: %s", error)
                    return
                finally:
                    notify("READY=1")
                set_log_level(settings.log_level)
                now = application.context.models.rerankers
                changed += [f"calibration of {model.id}" for model in now if model.calibration != before[model.id]]
            _log.info("settings read again, changed: %s", ", ".join(changed) or "none")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._was_on_terminal and not os.isatty(2):
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._loop is None:
            self._is_early = True
        else:
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        assert self._application is not None
        task = asyncio.get_running_loop().create_task(self.reload(self._application))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
