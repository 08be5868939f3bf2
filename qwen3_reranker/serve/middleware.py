"""RequestMiddleware: authenticates, limits, measures and logs each request, before its body is read."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3_reranker.records import Usage
from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.admission import Reservation
from qwen3_reranker.serve.accounts.key_format import is_key
from qwen3_reranker.serve.accounts.key_records import KeyRecord, UsageRow
from qwen3_reranker.serve.accounts.prices import sum_of_costs
from qwen3_reranker.serve.cross_site import CrossSiteCheck
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR, ErrorFormat
from qwen3_reranker.serve.json_http import JsonResponse
from qwen3_reranker.serve.log import log_request
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.problems import Problem, busy
from qwen3_reranker.serve.request_id import request_id
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.settings import ServerSettings

_KEY_THREADS = 4
#: nginx's status for a client that is gone, for log and usage.
CLIENT_GONE = 499


@dataclass(slots=True)
class RequestState:
    """All facts of one request. The handler completes them, and the middleware logs them.

    key: None without keys and for public paths. tenant: number of the key for the scheduler, 0 for no key. route: the
    path's template. deadline: by time.monotonic(). timeout: what ends the request then. cost: nanodollars, None without
    a price. error_format: of the dialect that the request speaks, None for other routes.
    """

    request_id: str
    started: float
    key: KeyRecord | None = None
    tenant: int = 0
    route: str = ""
    model: str = ""
    deadline: float = math.inf
    timeout: asyncio.Timeout | None = None
    reservation: Reservation | None = None
    cost: int | None = None
    error_format: ErrorFormat | None = None
    log_fields: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def admitted(self, accounts: Accounts | None, scope: str) -> Iterator[None]:
        """Hold the request's share of the key's limits. Raises Problem 403 without the scope, 429 or 503."""
        if self.key is None or accounts is None:
            yield
            return
        self.key.require_scope(scope)
        with accounts.enter(self.key) as self.reservation:
            yield

    def use_model(self, id: str) -> None:
        """Note the model for log and metrics. Raises Problem 403 if the key may not use it."""
        self.model = id
        if self.key:
            self.key.require_model(id)

    def reserve(self, prompt_tokens: int, cost: int | None) -> None:
        """Reserve more tokens and their cost in nanodollars. Raises Problem 402 or 429."""
        if self.reservation:
            self.reservation.charge(prompt_tokens, cost or 0)
            self.headers |= self.reservation.headers()
        self.cost = sum_of_costs(self.cost, cost)

    def status_without_reply(self) -> int:
        """The status, for log and usage, of a request that its deadline ended, or else its client's leaving."""
        # A loop may keep time by the millisecond and end a request a little early.
        is_late = time.monotonic() >= self.deadline or (self.timeout is not None and self.timeout.expired())
        return 504 if is_late else CLIENT_GONE

    def settle(self, documents: int, usage: Usage, status: int = 200) -> None:
        """Log the usage of a request, and charge the key: for an answer, or for what was computed before it ended."""
        self.log_fields |= {
            "documents": documents,
            "prompt_tokens": usage.prompt_tokens,
            "computed_tokens": usage.computed_tokens,
        }
        if self.reservation is None or self.key is None:
            return
        self.reservation.settle(
            UsageRow(
                time=int(time.time()),
                key_id=self.key.id,
                model=self.model,
                route=self.route,
                request_id=self.request_id,
                documents=documents,
                prompt_tokens=usage.prompt_tokens,
                computed_tokens=usage.computed_tokens,
                cost=self.cost or 0,
                duration=time.monotonic() - self.started,
                status=status,
            )
        )
        # It may be less than was reserved.
        self.headers |= self.reservation.headers()

    def problem_response(self, problem: Problem) -> JsonResponse:
        """The reply for a problem, in the request's dialect. The log gets its code."""
        self.log_fields["code"] = problem.code
        status, body = (self.error_format or CANONICAL_ERROR).write(problem, self.request_id)
        return JsonResponse(body, status, problem.headers)


def state_of(request: Request) -> RequestState:
    """The state of a request."""
    state: RequestState = request.scope["state"]["request"]
    return state


class TemplatedRoute(Route):
    """A route that notes its path's template. Log and metrics never hold the path itself."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if state := scope.get("state", {}).get("request"):
            state.route = self.path_format
        await super().handle(scope, receive, send)


@dataclass(slots=True)
class Drain:
    """Shutdown in two phases. is_unready: health checks fail; is_draining: new requests are refused as well."""

    is_unready: bool = False
    is_draining: bool = False
    in_flight: int = 0
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_idle(self) -> None:
        """Return when no request is in the server."""
        while self.in_flight:
            self.emptied.clear()
            await self.emptied.wait()


class RequestMiddleware:
    """ASGI middleware around all routes: ids, keys, limits, headers, metrics and log."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        endpoints: Sequence[HttpEndpoint],
        accounts: Accounts | None,
        metrics: Metrics,
        drain: Drain,
        settings: ServerSettings,
    ) -> None:
        self._accounts = accounts
        self._metrics = metrics
        self._drain = drain
        self._tenants: dict[str, int] = {}
        # Of their own, so that a flood of unknown keys holds up nothing else.
        self._key_lookups = ThreadPoolExecutor(_KEY_THREADS, thread_name_prefix="keys")
        self.use(app, endpoints, settings)

    def use(self, app: ASGIApp, endpoints: Sequence[HttpEndpoint], settings: ServerSettings) -> None:
        """Pass later requests to this application; `endpoints` are its routes."""
        self._app = app
        self._max_requests = settings.max_requests
        self._logs_addresses = settings.log_addresses
        self._cross_site = CrossSiteCheck(settings)
        public = [endpoint.path for endpoint in endpoints if endpoint.public]
        self._public = frozenset(path for path in public if "{" not in path)
        self._public_prefixes = tuple(path.partition("{")[0] for path in public if "{" in path)
        self._probes = frozenset(endpoint.path for endpoint in endpoints if endpoint.probe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _strip_trailing_slash(scope)
        headers = Headers(scope=scope)
        state = RequestState(request_id(headers.get("x-request-id")), time.monotonic())
        scope.setdefault("state", {})["request"] = state
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                reply = MutableHeaders(scope=message)
                self._add_headers(reply, state)
                self._cross_site.add_headers(headers.get("origin"), reply)
            await send(message)

        self._drain.in_flight += 1
        self._metrics.in_flight.inc()
        try:
            await self._pass(scope, headers, receive, send_and_note, state)
        except asyncio.CancelledError:
            status = CLIENT_GONE
            raise
        finally:
            self._drain.in_flight -= 1
            self._metrics.in_flight.dec()
            if not self._drain.in_flight:
                self._drain.emptied.set()
            self._log(scope, state, status)

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send, state: RequestState) -> None:
        app = self._app
        try:
            app = self._cross_site.preflight(scope, headers) or app
            if app is self._app:
                await self._check(scope, headers, state)
        except Problem as problem:
            self._metrics.on_rejected(problem.code)
            state.headers |= {"connection": "close"} if problem.code == "draining" else {}
            app = state.problem_response(problem)
        await app(scope, receive, send)

    async def _check(self, scope: Scope, headers: Headers, state: RequestState) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        reads = scope["method"] in ("GET", "HEAD")
        if reads and path in self._probes:
            return
        self._cross_site.check(scope, headers)
        if self._accounts is not None and not (reads and self._is_public(path)):
            state.key = await self._authenticate(self._accounts, headers)
            state.tenant = self._tenants.setdefault(state.key.id, len(self._tenants) + 1)
        if self._drain.is_draining:
            raise busy("draining", "the server is shutting down; try another or come again", 1.0)
        if self._drain.in_flight > self._max_requests:
            raise busy("too_many_requests", "the server has as many requests as it can hold", 1.0)

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(self._public_prefixes)

    async def _authenticate(self, accounts: Accounts, headers: Headers) -> KeyRecord:
        presented = _presented_key(headers)
        if (known := accounts.cached(presented)) is not None:
            return known
        return await asyncio.get_running_loop().run_in_executor(self._key_lookups, accounts.find, presented)

    def _add_headers(self, headers: MutableHeaders, state: RequestState) -> None:
        milliseconds = (time.monotonic() - state.started) * 1000
        headers["x-request-id"] = state.request_id
        headers["openai-processing-ms"] = str(round(milliseconds))
        headers.setdefault("server-timing", f"total;dur={milliseconds:.1f}")
        headers.setdefault("x-content-type-options", "nosniff")
        for name, value in state.headers.items():
            headers[name] = value

    def _log(self, scope: Scope, state: RequestState, status: int) -> None:
        seconds = time.monotonic() - state.started
        self._metrics.on_request(state.route, state.model, status, seconds)
        is_answered_probe = status < 400 and scope["path"] in self._probes
        client = scope.get("client") if self._logs_addresses else None
        log_request(
            {
                "id": state.request_id,
                "method": scope["method"] if scope["method"].isalpha() else "?",
                "route": state.route or None,
                "status": status,
                "seconds": round(seconds, 4),
                "key": state.key.id if state.key else None,
                "model": state.model or None,
                **({"address": client[0]} if client else {}),
                **state.log_fields,
            },
            logging.DEBUG if is_answered_probe else logging.INFO,
        )


def _strip_trailing_slash(scope: Scope) -> None:
    """Drop the final slash of a path. Many clients follow no redirect of a POST."""
    root = scope.get("root_path", "")
    for name, slash, kept in (("path", "/", root), ("raw_path", b"/", root.encode())):
        if scope.get(name):
            scope[name] = kept + (scope[name].removeprefix(kept).rstrip(slash) or slash)


def _presented_key(headers: Headers) -> bytes:
    """The key of a request: `Authorization: Bearer KEY` or just KEY, x-api-key or api-key.

    The first that has the form of a key, because a proxy or a client may put something else into the others.
    """
    raw = dict(reversed(headers.raw))
    scheme, _, rest = raw.get(b"authorization", b"").strip().partition(b" ")
    authorization = rest.strip() if scheme.lower() == b"bearer" else scheme
    given = [authorization, *(raw.get(name, b"").strip() for name in (b"x-api-key", b"api-key"))]
    return next(filter(is_key, given), b"")
