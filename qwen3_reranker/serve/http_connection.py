"""HttpConnection: uvicorn's HTTP/1.1, with limits on what a client may send and how long it may take."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade
from starlette.types import Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from qwen3_reranker.serve.connections import Connections, Phase, refusal
from qwen3_reranker.serve.problems import Problem, invalid

#: Stands for the address of a client on a unix socket.
UNIX_CLIENT = "unix"
_MAX_HEAD_BYTES = 64 << 10
_MAX_PIPELINED = 32
# A client that still sends when its reply is written has this much time and bytes before the connection ends: many
# clients read a reply only after they have sent their request. Fewer bytes than these keep the connection open.
_MAX_DISCARDED_BYTES = 64 << 20
_FEW_BYTES = 64 << 10


class HttpConnection(HttpToolsProtocol):
    """One connection. phase: what the server waits for, written by `Connections`."""

    def __init__(self, connections: Connections, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.phase: Phase | None = None
        self._connections = connections
        self._application = self.app
        self.app = self._answer
        self._socket: asyncio.Transport
        self._is_ending = False
        # Waits for the body, to go out with it; empty before it is made.
        self._reply_head: bytes | None = None
        # From the first byte of a request to its last.
        self._is_receiving = False
        # Since the last head or piece of a body. Only heads, trailers and empty lines can become many.
        self._unparsed_bytes = 0
        self._discarded_bytes = 0
        self._unsent_bytes = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._socket = transport
        seen: Any = _SeenTransport(self._write, self._close, self._is_closing)
        self.transport = seen
        self.client = self.client or (UNIX_CLIENT, 0)
        self._connections.enter(self, Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application."""
        self._is_ending = True
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or discard it after the last reply."""
        if self._is_ending:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > _MAX_DISCARDED_BYTES:
                self.abort()
            return
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if self._unparsed_bytes > _MAX_HEAD_BYTES:
                self._refuse(_too_large())
        except HttpParserUpgrade:
            pass  # the request is answered as any other, and is the last of its connection
        except HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Problem) else invalid("invalid_http", "this is not HTTP/1.1"))

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_receiving = True
        if self.phase is Phase.IDLE:
            self._connections.enter(self, Phase.HEAD)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Pass a request on, or refuse it."""
        self._unparsed_bytes = 0
        hosts, size = 0, len(self.url)
        for name, value in self.headers:
            hosts += name == b"host"
            size += len(name) + len(value) + 4
        if size > _MAX_HEAD_BYTES:
            raise _too_large()
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise invalid("invalid_host", "a request needs one Host header")
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise invalid("too_many_requests", "too many requests were sent before their replies were read")
        super().on_headers_complete()
        # Trailers, which come after the body, are not among the headers that the application reads.
        self.headers = []
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False
        if self.phase in (Phase.HEAD, Phase.IDLE):
            self._connections.leave(self)

    def on_body(self, body: bytes) -> None:
        """Pass a piece of a body on."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._unparsed_bytes = 0
        self._is_receiving = False
        super().on_message_complete()
        if self.phase is Phase.HEAD:
            self._connections.enter(self, Phase.IDLE)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here or this was the last."""
        self._write_head()
        super().on_response_complete()
        self._unset_keepalive_if_required()
        if not self._is_ending and self.cycle.response_complete:
            self._connections.enter(self, Phase.HEAD if self._is_receiving else Phase.IDLE)

    def pause_writing(self) -> None:
        """The client reads more slowly than the server writes."""
        super().pause_writing()
        if self.phase is None:
            self._connections.enter(self, Phase.WRITING)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self.phase is Phase.WRITING:
            self._connections.leave(self)

    def on_timeout(self) -> None:
        """The server has waited for too long: end the connection, unless the client is still reading."""
        assert self.phase
        phase, unsent = self.phase, self._socket.get_write_buffer_size()
        if 0 < unsent < self._unsent_bytes:
            self._connections.enter(self, phase)
            self._unsent_bytes = unsent
            return
        if phase is Phase.HEAD:
            self._connections.refused("headers_timeout")
            if self._is_receiving and not unsent and (self.cycle is None or self.cycle.response_complete):
                late = Problem(408, "timeout_error", "headers_timeout", "the headers did not arrive in time")
                self._socket.write(refusal(late))
        if unsent or phase in (Phase.WRITING, Phase.ENDING):
            self.abort()
        else:
            self._hang_up()

    def shutdown(self) -> None:
        """End the connection after the reply to the request that is inside, if there is one."""
        if self.phase in (Phase.HEAD, Phase.IDLE):
            self._hang_up()
        elif self.cycle:
            self.cycle.keep_alive = False

    def abort(self) -> None:
        """End the connection now, whatever is not sent."""
        self._is_ending = True
        self._socket.abort()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which may answer before the whole body is here."""
        cycle: RequestResponseCycle = receive.__self__  # type: ignore[attr-defined]

        async def send_and_end(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._reply_head = b""
                if self._connections.is_stopping or _has_much_to_come(cycle):
                    cycle.keep_alive = False
            await send(message)

        await self._application(scope, receive, send_and_end)

    def _refuse(self, problem: Problem) -> None:
        self._connections.refused(problem.code)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._reply_head = None
        self._write(refusal(problem))
        self._is_receiving = True
        self._close()

    def _write(self, data: bytes) -> None:
        if self._reply_head == b"":
            self._reply_head = data
        elif not self._is_ending:
            self._socket.write(self._reply_head + data if self._reply_head else data)
            self._reply_head = None

    def _write_head(self) -> None:
        """Write a head that no body has followed: the reply to HEAD has none."""
        if self._reply_head and not self._is_ending:
            self._socket.write(self._reply_head)
        self._reply_head = None

    def _close(self) -> None:
        """End the connection once the client has the reply.

        Closing a socket on which bytes arrive resets the connection, and then a client that still sends does not see
        the reply. Therefore only our direction is closed while a client sends, and what comes is discarded.
        """
        self._write_head()
        if self._is_ending:
            return
        if not self._is_receiving:
            self._hang_up()
            return
        self._is_ending = True
        self._connections.enter(self, Phase.ENDING)
        self.flow.resume_reading()
        self._socket.write_eof()

    def _hang_up(self) -> None:
        self._is_ending = True
        self._connections.enter(self, Phase.ENDING)
        self._socket.close()

    def _is_closing(self) -> bool:
        return self._is_ending or self._socket.is_closing()


class _SeenTransport:
    """The transport that uvicorn's protocol sees; its `close` lets the client read the reply."""

    def __init__(
        self, write: Callable[[bytes], None], close: Callable[[], None], is_closing: Callable[[], bool]
    ) -> None:
        self.write = write
        self.close = close
        self.is_closing = is_closing


def _too_large() -> Problem:
    message = f"the headers may have {_MAX_HEAD_BYTES:,} bytes"
    return Problem(431, "invalid_request_error", "headers_too_large", message)


def _has_much_to_come(cycle: RequestResponseCycle) -> bool:
    """Whether so much of the body is missing that a new connection costs the client less."""
    if not cycle.more_body:
        return False
    headers: dict[bytes, Any] = dict(cycle.scope["headers"])
    length = headers.get(b"content-length", b"")
    return cycle.waiting_for_100_continue or not length.isdigit() or int(length) > _FEW_BYTES
