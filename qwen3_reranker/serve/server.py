"""Server: runs the application on a socket, and shuts down without losing an accepted request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.serve.application import Application
from qwen3_reranker.serve.settings import ServerSettings

_log = logging.getLogger(__name__)
# From the end of the last request to the last byte of its reply on the wire.
_LAST_BYTES_SECONDS = 5
_SWITCH_SECONDS = 0.0005
# Connections that are not accepted yet: enough that a burst gets 503 and not a closed connection.
_BACKLOG = 2048


class Server:
    """An application on a socket, until it is stopped.

    The first SIGTERM, SIGINT or `stop` ends readiness, then new requests, then the server, once the running requests
    have ended or their time is over; the second one ends it at once.
    """

    def __init__(
        self, application: Application, settings: ServerSettings, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """on_ready is called once requests and signals are accepted."""
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
            timeout_graceful_shutdown=_LAST_BYTES_SECONDS,
        )
        self._server = _Uvicorn(config, on_ready, self._on_stop)

    def run(self, listening: socket.socket) -> None:
        """Serve until it is stopped, and write the remaining usage; raises StoreError if that fails."""
        # The scheduler's thread needs the GIL briefly between batches, and would wait 5 ms for it by default.
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            self._server.run(sockets=[listening])
        finally:
            self._application.close()

    def stop(self) -> None:
        """Stop as a signal does, from any thread."""
        self._server.handle_exit(signal.SIGTERM, None)

    def _on_stop(self, number: int) -> None:
        drain = self._application.context.drain
        _log.info("%s: no new requests, %d to end", signal.Signals(number).name, drain.in_flight)
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._shut_down())
        else:
            self._server.force_exit = self._server.should_exit = True

    async def _shut_down(self) -> None:
        drain = self._application.context.drain
        drain.is_unready = True
        await asyncio.sleep(self._settings.drain_delay)
        drain.is_draining = True
        try:
            async with asyncio.timeout(self._settings.shutdown_timeout):
                await drain.wait_idle()
        except TimeoutError:
            _log.warning("%d requests had not ended after %g s", drain.in_flight, self._settings.shutdown_timeout)
            await asyncio.to_thread(self._application.abandon)
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn with our own signal handling."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and accept signals."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down from any thread or signal handler; uvicorn's own would refuse connections at once."""
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._on_stop, sig)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UnavailableError for an address that is taken or not of this machine."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another with --port"
        ) from None
