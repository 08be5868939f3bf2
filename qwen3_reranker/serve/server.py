"""Server: runs the application on a socket, and shuts down without losing an accepted request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from qwen3_reranker.serve.application import Application
from qwen3_reranker.serve.connections import Acceptor, Connections, connection_limit
from qwen3_reranker.serve.http_connection import UNIX_CLIENT, HttpConnection
from qwen3_reranker.serve.listening import Listening
from qwen3_reranker.serve.service_manager import notify, notify_alive, watchdog_seconds
from qwen3_reranker.serve.settings import ServerSettings

_log = logging.getLogger(__name__)
# From the end of the last request to the last byte of its reply on the wire.
_LAST_BYTES_SECONDS = 5
#: How long a thread may keep the GIL from the others.
SWITCH_SECONDS = 0.0005
_TICKS_BETWEEN_EXPIRIES = 5


class Server:
    """An application on a socket, until it is stopped.

    The first SIGTERM, SIGINT or `stop` ends readiness, then new connections, then new requests, then the server, once
    the running requests have ended or their time is over; the second one ends it at once.
    """

    def __init__(
        self, application: Application, settings: ServerSettings, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        """on_ready is called once requests and signals are accepted."""
        self._application = application
        self._stopping: asyncio.Task[None] | None = None
        seconds = watchdog_seconds()
        config = uvicorn.Config(
            application.asgi,
            # uvicorn's other loop for Windows cannot watch a listening socket.
            loop="asyncio:SelectorEventLoop" if sys.platform == "win32" else "auto",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            root_path=settings.root_path,
            forwarded_allow_ips=[*settings.trusted_proxies, UNIX_CLIENT],
            timeout_graceful_shutdown=_LAST_BYTES_SECONDS,
            callback_notify=None if seconds is None else notify_alive,
            timeout_notify=seconds or 0,
        )
        connections = Connections(
            connection_limit(settings.max_connections), settings.header_timeout, application.context.metrics
        )
        self._server = _Uvicorn(config, connections, on_ready, self._on_stop)

    def run(self, listening: Listening) -> None:
        """Serve until it is stopped, and write the remaining usage; raises StoreError if that fails."""
        # The scheduler's thread needs the GIL briefly between batches, and would wait 5 ms for it by default.
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._server.listening = listening
            self._server.run()
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
        notify("STOPPING=1")
        drain = self._application.context.drain
        drain.is_unready = True
        settings = self._application.context.settings
        await asyncio.sleep(settings.drain_delay)
        await self._server.stop_accepting()
        drain.is_draining = True
        try:
            async with asyncio.timeout(settings.shutdown_timeout):
                await drain.wait_idle()
        except TimeoutError:
            _log.warning("%d requests had not ended after %g s", drain.in_flight, settings.shutdown_timeout)
            await asyncio.to_thread(self._application.abandon)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await self._server.connections.wait_quiet()
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """uvicorn with our own connections and signal handling."""

    listening: Listening
    _acceptor: Acceptor

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        on_ready: Callable[[], None],
        on_stop: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self.connections = connections
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early_signal: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and accept signals."""
        self._loop = asyncio.get_running_loop()
        self.servers = []
        self._acceptor = Acceptor(
            self.listening, self.connections, lambda: HttpConnection(self.connections, self.config, self.server_state)
        )
        self.started = True
        self._on_ready()
        notify("READY=1")
        if self._early_signal is not None:
            self._on_stop(self._early_signal)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: end connections whose time is over, and see whether to exit."""
        if counter % _TICKS_BETWEEN_EXPIRIES == 0:
            self.connections.expire()
        return bool(await super().on_tick(counter))

    async def stop_accepting(self) -> None:
        """Accept the connections that are queued, and no others; from now on each reply is the last of its own."""
        self.connections.is_stopping = True
        await self._acceptor.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the connections; after a second signal there may be some that wait to be accepted."""
        self._acceptor.stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down from any thread or signal handler; uvicorn's own would refuse connections at once."""
        if self._loop is None:
            self._early_signal = sig
        else:
            self._loop.call_soon_threadsafe(self._on_stop, sig)
