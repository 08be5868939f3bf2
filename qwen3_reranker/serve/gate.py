"""Gate: who may pass, before a byte of a body is read; and what every reply carries."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.key_records import KeyRecord
from qwen3_reranker.serve.log import log_request
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.problems import Problem, busy

#: What anybody may GET, keys or not: pages, which hold nothing of anybody's, and what load balancers ask.
PUBLIC = frozenset(
    {
        "/",
        "/models",
        "/keys",
        "/health",
        "/health/live",
        "/health/ready",
        "/ping",
        "/version",
        "/openapi.json",
        "/robots.txt",
    }
)
_PUBLIC_BELOW = ("/models/", "/assets/")
_HEALTH = frozenset({"/health", "/health/live", "/health/ready", "/ping"})
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Passing:
    """What is known of a request, in `scope["state"]["passing"]`; the rest of the server fills it in for the log.

    route: the path's template. key: None where keys are off or the path is public.
    """

    request_id: str
    started: float
    key: KeyRecord | None = None
    route: str = ""
    model: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Door:
    """Who is inside. is_leaving: no new request should come; is_draining: none is let in any more."""

    is_leaving: bool = False
    is_draining: bool = False
    inside: int = 0
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_empty(self) -> None:
        """Return when nobody is inside."""
        while self.inside:
            self.emptied.clear()
            await self.emptied.wait()


class Gate:
    """ASGI middleware around everything: request ids, keys, the number of requests, headers, metrics, the log.

    answer_problem: makes the application that answers with a problem.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        accounts: Accounts | None,
        metrics: Metrics,
        door: Door,
        max_requests: int,
        public_metrics: bool,
        answer_problem: Callable[[Problem, str], ASGIApp],
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._metrics = metrics
        self._door = door
        self._max_requests = max_requests
        self._public = PUBLIC | {"/metrics"} if public_metrics else PUBLIC
        self._answer_problem = answer_problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _end_without_slash(scope)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _VALID_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        passing = Passing(request_id, time.monotonic())
        scope.setdefault("state", {})["passing"] = passing
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), passing)
            await send(message)

        self._door.inside += 1
        self._metrics.in_flight.inc()
        try:
            await self._pass(scope, headers, receive, send_and_note, passing)
        except asyncio.CancelledError:
            status = 499
            raise
        finally:
            self._door.inside -= 1
            self._metrics.in_flight.dec()
            if not self._door.inside:
                self._door.emptied.set()
            self._note(scope, passing, status)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send, passing: Passing) -> None:
        app = self._app
        try:
            await self._admit(scope, headers, passing)
        except Problem as problem:
            self._metrics.on_rejected(problem.code)
            passing.headers |= {"connection": "close"} if problem.code == "draining" else {}
            app = self._answer_problem(problem, passing.request_id)
        await app(scope, receive, send)

    async def _admit(self, scope: Scope, headers: Headers, passing: Passing) -> None:
        path, reads = scope["path"], scope["method"] in ("GET", "HEAD")
        if reads and path in _HEALTH:
            return
        if self._accounts is not None and not (reads and self._is_public(path)):
            passing.key = await self._key(self._accounts, headers)
        if self._door.is_draining:
            raise busy("draining", "the server is shutting down; try another or come again", 1.0)
        if self._door.inside > self._max_requests:
            raise busy("too_many_requests", "the server has as many requests as it can hold", 1.0)

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(_PUBLIC_BELOW)

    async def _key(self, accounts: Accounts, headers: Headers) -> KeyRecord:
        presented = _presented(headers)
        if (known := accounts.cached(presented)) is not None:
            return known
        return await asyncio.to_thread(accounts.find, presented)

    def _add_headers(self, headers: MutableHeaders, passing: Passing) -> None:
        milliseconds = (time.monotonic() - passing.started) * 1000
        headers["x-request-id"] = passing.request_id
        headers["openai-processing-ms"] = str(round(milliseconds))
        headers.setdefault("server-timing", f"total;dur={milliseconds:.1f}")
        headers.setdefault("x-content-type-options", "nosniff")
        for name, value in passing.headers.items():
            headers[name] = value

    def _note(self, scope: Scope, passing: Passing, status: int) -> None:
        seconds = time.monotonic() - passing.started
        self._metrics.on_request(passing.route, passing.model, status, seconds)
        log_request(
            {
                "id": passing.request_id,
                "method": scope["method"] if scope["method"].isalpha() else "?",
                "route": passing.route or None,
                "status": status,
                "seconds": round(seconds, 4),
                "key": passing.key.id if passing.key else None,
                "model": passing.model or None,
                **passing.facts,
            }
        )


def _end_without_slash(scope: Scope) -> None:
    """Take a path with a slash at its end for the one without: many clients follow no redirect of a POST."""
    for name, slash in (("path", "/"), ("raw_path", b"/")):
        if scope.get(name):
            scope[name] = scope[name].rstrip(slash) or slash


def _presented(headers: Headers) -> bytes:
    """The key of a request: `Authorization: Bearer KEY` or just KEY, as some clients write, x-api-key or api-key."""
    raw = dict(reversed(headers.raw))
    if given := raw.get(b"authorization", b"").strip():
        scheme, _, rest = given.partition(b" ")
        return rest.strip() if scheme.lower() == b"bearer" else given
    return (raw.get(b"x-api-key") or raw.get(b"api-key") or b"").strip()
