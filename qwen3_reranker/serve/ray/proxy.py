"""Middleware of Ray's HTTP proxies: a request survives its replica, and errors of Ray read as those of the server.

RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=qwen3_reranker.serve.ray.proxy.middlewares, in the environment of each node.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.problems import Problem, busy
from qwen3_reranker.serve.request_id import request_id

# One: a request that makes every replica die must not go on to end them all.
_RETRIES = 1
# Larger bodies are not kept for a second attempt.
_KEPT_BYTES = 4 << 20
# Each reply of the server has it, whatever its status, and no reply of Ray.
_HEADER_OF_SERVER = "server-timing"
# Replies of the proxy about itself.
_RAY_PATHS = "/-/"
# Administration: a key that was made, and whose reply was lost, must not be made twice.
_KEYS_PATH = "/v1/keys"


def middlewares() -> list[Middleware]:
    """What Ray puts in front of each of its proxies."""
    return [Middleware(RetryMiddleware)]


class RetryMiddleware:
    """Sends a request whose replica died before it answered to another one, once.

    Scoring changes nothing but the usage, which is charged with the answer. A change of keys is not sent again. A
    request that cannot be sent again, and one that Ray itself refuses as no replica is there, get 503 with Retry-After
    in the body that every client reads.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"].startswith(_RAY_PATHS):
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        # Ray gives the id of the request to the replica, and adds it to the reply.
        headers["x-request-id"] = request_id(headers.get("x-request-id"))
        body = _KeptBody(receive)
        problem = busy("replica_lost", "the replica that computed this ended; try again", 1.0)
        for _ in range(1 + _RETRIES):
            reply = _Reply(send)
            # Ray writes into the scope.
            await self._app(dict(scope), body.again(), reply)
            if reply.is_refusal:
                problem = busy("no_replica", "no replica takes requests now; try again later", 1.0)
            elif reply.has_started or body.is_client_gone:
                return
            elif body.is_whole and (scope["method"] in ("GET", "HEAD") or _KEYS_PATH not in scope["path"]):
                continue
            break
        await _answer(problem, scope, receive, send)


class _KeptBody:
    """The messages of a request's body, for each attempt from the first on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []
        self._bytes = 0
        self.is_client_gone = False

    @property
    def is_whole(self) -> bool:
        """Whether everything that was received is still here."""
        return self._bytes <= _KEPT_BYTES

    def again(self) -> Receive:
        """A `receive` that begins with the first message."""
        sent = 0

        async def receive() -> Message:
            nonlocal sent
            if sent >= len(self._messages):
                message = await self._receive()
                self._bytes += len(message.get("body", b""))
                self.is_client_gone |= message["type"] == "http.disconnect"
                if not self.is_whole:
                    self._messages.clear()
                    return message
                self._messages.append(message)
            sent += 1
            return self._messages[sent - 1]

        return receive


class _Reply:
    """A `send` that passes on what a replica says, and keeps back a refusal of Ray."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_started = False
        self.is_refusal = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_refusal = message["status"] == 503 and _HEADER_OF_SERVER not in Headers(raw=message["headers"])
        if not self.is_refusal:
            self.has_started = True
            await self._send(message)


async def _answer(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    id = Headers(scope=scope)["x-request-id"]
    status, body = CANONICAL_ERROR.write(problem, id)
    headers = {**problem.headers, "x-request-id": id}
    await JsonResponse(body, status, headers)(scope, receive, send)
