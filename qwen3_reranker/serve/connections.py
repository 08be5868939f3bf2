"""Connections: accepts them up to a limit, and ends those that keep the server waiting."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import os
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR
from qwen3_reranker.serve.listening import Listening
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.problems import Problem, busy

if TYPE_CHECKING:
    from qwen3_reranker.serve.http_connection import HttpConnection

_log = logging.getLogger(__name__)
_MOST_CONNECTIONS = 8192
# Descriptors for everything that is no connection: databases, files that are opened later, connections that close.
_OTHER_DESCRIPTORS = 32
# Accepted in one step of the event loop, which has requests to answer too.
_ACCEPTED_AT_ONCE = 32
_NO_DESCRIPTOR_SECONDS = 0.05
_WARNING_SECONDS = 60.0
# A handshake that has begun when the listener closes has this time to end.
_HANDSHAKE_SECONDS = 0.05
# A client that was answered less than this ago may be about to send its next request.
_RECENT_SECONDS = 1.0
_POLL_SECONDS = 0.02


class Phase(Enum):
    """What the server waits for; on a connection without a phase, the client waits for the server."""

    HEAD = "the head of a request"
    IDLE = "the next request"
    WRITING = "the client to read"
    ENDING = "the client to read the last reply"


#: How long the server waits, besides for a head. A client that reads slowly gets this time again and again.
PHASE_SECONDS = {Phase.IDLE: 75.0, Phase.WRITING: 60.0, Phase.ENDING: 30.0}
# The first that are closed to make room for another.
_DISPLACED_FIRST = (Phase.HEAD, Phase.ENDING, Phase.IDLE, Phase.WRITING)


class Connections:
    """All connections of a server.

    limit: the most at once. At the limit a new connection takes the place of the one that has kept the server waiting
    longest; if every connection has a request inside, the new one gets 503. is_stopping: each reply is the last of its
    connection.
    """

    def __init__(self, limit: int, header_timeout: float, metrics: Metrics) -> None:
        """header_timeout: seconds from the beginning of a connection or a request to the end of the head."""
        self.limit = limit
        self.is_stopping = False
        self._metrics = metrics
        self._seconds = {**PHASE_SECONDS, Phase.HEAD: header_timeout}
        # Connections by the time at which they entered the phase, which is also their order.
        self._waiting: dict[Phase, OrderedDict[HttpConnection, float]] = {phase: OrderedDict() for phase in Phase}
        self._count = 0
        self._accepting: set[asyncio.Task[Any]] = set()
        self._warned = -math.inf
        metrics.connections.set_function(lambda: self._count)

    def enter(self, connection: HttpConnection, phase: Phase) -> None:
        """From now on the server waits for this."""
        self.leave(connection)
        connection.phase = phase
        self._waiting[phase][connection] = asyncio.get_running_loop().time()

    def leave(self, connection: HttpConnection) -> None:
        """The server waits no longer."""
        if connection.phase is not None:
            del self._waiting[connection.phase][connection]
            connection.phase = None

    def forget(self, connection: HttpConnection) -> None:
        """The connection is lost."""
        self.leave(connection)
        self._count -= 1

    def refused(self, reason: str) -> None:
        """Count a connection that ended before a request."""
        self._metrics.on_connection_refused(reason)

    def expire(self) -> None:
        """End the connections that have kept the server waiting for too long."""
        now = asyncio.get_running_loop().time()
        for phase, waiting in self._waiting.items():
            for connection, since in list(waiting.items()):
                if since + self._seconds[phase] > now:
                    break
                connection.on_timeout()

    async def wait_quiet(self) -> None:
        """Return when no request is inside, and no client was answered a moment ago."""
        loop = asyncio.get_running_loop()
        while self._accepting or self._has_work(loop.time() - _RECENT_SECONDS):
            await asyncio.sleep(_POLL_SECONDS)

    def _has_work(self, recently: float) -> bool:
        if self._count > sum(map(len, self._waiting.values())):
            return True
        # The latest to enter a phase is the last in its order.
        latest = (next(reversed(self._waiting[phase].values()), -math.inf) for phase in (Phase.HEAD, Phase.IDLE))
        return max(latest) > recently

    def _displace(self) -> bool:
        for phase in _DISPLACED_FIRST:
            if oldest := next(iter(self._waiting[phase]), None):
                self.leave(oldest)
                oldest.abort()
                self.refused("displaced")
                return True
        return False

    def take(self, accepted: socket.socket, connect: Callable[[], HttpConnection]) -> None:
        """Serve an accepted connection, or refuse it."""
        accepted.setblocking(False)
        if self._count >= self.limit:
            self._warn(f"{self.limit} connections are open, the limit; silent ones are closed, then new ones refused")
            if not self._displace():
                self.refused("too_many_connections")
                _refuse(accepted)
                return
        self._count += 1
        task = asyncio.get_running_loop().create_task(self._connect(accepted, connect))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, accepted: socket.socket, connect: Callable[[], HttpConnection]) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(connect, accepted)
        except OSError:
            self._count -= 1
            accepted.close()

    @property
    def is_over_limit(self) -> bool:
        """Whether a displaced connection has not gone yet."""
        return self._count > self.limit

    def on_no_descriptor(self) -> None:
        """Make room after the system has refused a connection."""
        self._warn("the system gives no descriptors for further connections; silent connections are closed")
        self._displace()

    def _warn(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned >= _WARNING_SECONDS:
            self._warned = now
            _log.warning("%s", text)


class Acceptor:
    """Hands the connections of a listening socket to `Connections`, until it is closed."""

    def __init__(self, listening: Listening, connections: Connections, connect: Callable[[], HttpConnection]) -> None:
        """connect: makes the protocol of a connection."""
        self._listening = listening
        self._connections = connections
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        listening.socket.setblocking(False)
        self._start()

    def _start(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening.socket.fileno(), self._accept, _ACCEPTED_AT_ONCE)

    def _accept(self, most: int) -> bool:
        """Accept connections that are queued; whether none is left."""
        for _ in range(most):
            if self._connections.is_over_limit:
                return False
            try:
                accepted, _ = self._listening.socket.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._connections.on_no_descriptor()
                    self._loop.remove_reader(self._listening.socket.fileno())
                    self._loop.call_later(_NO_DESCRIPTOR_SECONDS, self._start)
                    return False
                continue  # a client that has gone already
            self._connections.take(accepted, self._connect)
        return False

    async def close(self) -> None:
        """Take no new connections, accept those that are queued, and close. Nobody's connection is reset."""
        self._listening.refuse_new()
        await asyncio.sleep(_HANDSHAKE_SECONDS)
        end = self._loop.time() + _RECENT_SECONDS
        while not self._accept(_ACCEPTED_AT_ONCE) and self._loop.time() < end:
            await asyncio.sleep(0)
        self.stop()

    def stop(self) -> None:
        """Close at once."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listening.socket.fileno())
            self._listening.close()


def connection_limit(wanted: int | None) -> int:
    """The most connections that this process can have, raised to the wanted number where the system allows it.

    wanted: None for as many as are useful. Logs if it cannot be had.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted or _MOST_CONNECTIONS
    used = len(os.listdir("/dev/fd")) + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = (wanted or _MOST_CONNECTIONS) + used
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    able = _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, soft - used)
    if wanted is not None and wanted > able:
        _log.warning("max_connections is %d, but the limit of open files (ulimit -n) allows %d", wanted, able)
    return min(wanted or _MOST_CONNECTIONS, able)


def refusal(problem: Problem) -> bytes:
    """The whole reply, and the last of its connection, to what is no request yet."""
    status, body = CANONICAL_ERROR.write(problem, f"req_{secrets.token_hex(12)}")
    content = json.dumps(body).encode()
    headers = {**problem.headers, "content-type": "application/json", "content-length": len(content)}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "connection: close\r\n\r\n"]).encode() + content


def _refuse(accepted: socket.socket) -> None:
    with accepted, suppress(OSError):
        accepted.send(refusal(busy("too_many_connections", "the server has as many connections as it can hold", 1.0)))
        # Bytes that nobody read would reset the connection, before the client has read the reply.
        accepted.recv(65536)
