"""Running the application: one process, signals, and an end that loses no accepted request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.serve.app import Application
from qwen3_reranker.serve.settings import Settings

_log = logging.getLogger(__name__)
# Between the end of the last request and the last byte of its reply on the wire.
_LAST_BYTES = 5
_SWITCH_SECONDS = 0.0005
# Connections that have not been accepted yet: as many as may come at once are told to come again, not hung up on.
_BACKLOG = 2048


class Server:
    """An application on a socket, until it is told to stop.

    A first SIGTERM or SIGINT ends readiness, then new requests, then, once those inside have ended or the time for
    that is over, the server; a second one ends it at once.
    """

    def __init__(
        self, application: Application, settings: Settings, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """on_ready is called once requests and signals are taken."""
        self._application = application
        self._settings = settings
        self._stopping: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            application.asgi,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_LAST_BYTES,
        )
        self._server = _Uvicorn(config, on_ready, self._on_signal)

    def run(self, listening: socket.socket) -> None:
        """Serve until the end, and write what usage is left; raises StoreError if that cannot be."""
        # Between batches the network's thread needs the interpreter for a moment, and would wait 5 ms for its turn.
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            self._server.run(sockets=[listening])
        finally:
            self._application.close()

    def stop_from_outside(self) -> None:
        """Do what a signal does, from another thread; the server must be running."""
        self._server.call(self._stop_or_hurry)

    def _stop_or_hurry(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        else:
            self._server.force_exit = self._server.should_exit = True

    def _on_signal(self, number: int) -> None:
        _log.info("%s: no new requests, %d to end", signal.Signals(number).name, self._application.door.inside)
        self._stop_or_hurry()

    async def _stop(self) -> None:
        door = self._application.door
        door.is_leaving = True
        await asyncio.sleep(self._settings.drain_delay)
        door.is_draining = True
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout):
                await door.until_empty()
        except TimeoutError:
            _log.warning("%d requests had not ended after %g s", door.inside, self._settings.shutdown_timeout)
            await asyncio.to_thread(self._application.abandon)
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn, with signals of our own."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_signal: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_signal = on_signal
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and be ready for signals."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn would close the door at once."""
        self.call(self._on_signal, sig)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call in the event loop's thread, from any thread or from a signal's handler."""
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(function, *arguments)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises UnavailableError for an address that is taken or not ours."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another with --port"
        ) from None
