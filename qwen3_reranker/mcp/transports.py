"""Transports: a server on stdin and stdout, or on a loopback port over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from qwen3_reranker.errors import UnavailableError

_LOOPBACK = "127.0.0.1"
_PATH = "/mcp"
_MAX_BODY_BYTES = 4 << 20
_READ_BYTES = 1 << 16
_LAST_BYTES_SECONDS = 2


def serve_stdio(server: Server[Any]) -> None:
    """Serve the process that started this one, until it closes stdin."""

    async def serve() -> None:
        # The SDK keeps stdout for itself: what else is printed goes to stderr.
        async with stdio_server(stdin=_stdin_lines()) as (incoming, outgoing):  # type: ignore[arg-type]
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(serve)


async def _stdin_lines() -> AsyncIterator[str]:
    """Lines of stdin, read in a daemon thread: that of the SDK would end only with the next line after Ctrl-C."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        rest = b""
        try:
            # Past Python's buffered stdin, whose lock a daemon thread must not hold when the interpreter ends.
            while some := os.read(0, _READ_BYTES):
                *whole, rest = (rest + some).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace"))
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except RuntimeError:
            pass  # the loop has ended

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line


def serve_http(server: Server[Any], port: int, on_ready: Callable[[str, Callable[[], None]], None]) -> None:
    """Serve programs on this machine over streamable HTTP until Ctrl-C.

    on_ready is called with the address and with what ends the server from any thread.

    Requests under another Host or from a web page of another Origin are refused: a page in a browser could otherwise
    use the server, by its own name that begins to resolve to this machine too. Raises UnavailableError for a port that
    is taken.
    """
    try:
        listening = socket.create_server((_LOOPBACK, port))
    except OSError as error:
        raise UnavailableError(f"port {port} of {_LOOPBACK}: {error.strerror or error}") from None
    with listening:
        taken = listening.getsockname()[1]
        places = [f"{_LOOPBACK}:{taken}", f"localhost:{taken}"]
        security = TransportSecuritySettings(
            allowed_hosts=places, allowed_origins=[f"http://{place}" for place in places]
        )
        # No sessions: every request stands alone, and nothing is kept for a client that is gone.
        application = server.streamable_http_app(
            streamable_http_path=_PATH,
            json_response=True,
            stateless_http=True,
            max_request_body_size=_MAX_BODY_BYTES,
            transport_security=security,
        )
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_LAST_BYTES_SECONDS,
        )
        running = _Server(config, lambda: on_ready(f"http://{places[0]}{_PATH}", running.stop))
        running.run(sockets=[listening])


class _Server(uvicorn.Server):
    """uvicorn that says when it answers and heeds signals."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    def stop(self) -> None:
        self.should_exit = True
