"""JSON over HTTP: deadlines, the end of a connection, and replies."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

Result = TypeVar("Result")


def seconds_left(headers: Mapping[str, str], limit: float) -> float:
    """Seconds that a request may take: the server's limit, or the client's if shorter."""
    for name in ("x-request-timeout", "x-stainless-read-timeout"):
        try:
            seconds = float(headers.get(name, "inf"))
        except ValueError:
            continue
        if seconds > 0:
            limit = min(limit, seconds)
    return limit


async def until_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of the work. Raises ClientDisconnect, after cancelling the work, if the client goes first.

    The body must be read. Nothing else may call `receive` of the request during this.
    """
    working, gone = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_done = working.done()
        working.cancel()
        gone.cancel()
        await asyncio.wait({working, gone})
    if not is_done:
        raise ClientDisconnect
    return working.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class JsonResponse(Response):
    """A JSON reply. A number that is not finite is a bug and never becomes NaN."""

    media_type = "application/json"

    def __init__(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, dict(headers or {}))

    def render(self, content: Any) -> bytes:
        """Compact UTF-8, without ASCII escapes."""
        return _json(content)


class StaticJson:
    """JSON that never changes: its bytes, plain and in gzip, and its ETag are made once."""

    def __init__(self, content: Any) -> None:
        self._plain = _json(content)
        self._gzip = gzip.compress(self._plain, mtime=0)
        self._etag = f'"{hashlib.sha256(self._plain).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        """The bytes, or 304 for a client that has them."""
        headers = {"etag": self._etag, "vary": "accept-encoding", "cache-control": "no-cache"}
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if self._etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        if _accepts_gzip(request.headers.get("accept-encoding", "")):
            return Response(self._gzip, headers={**headers, "content-encoding": "gzip"}, media_type="application/json")
        return Response(self._plain, headers=headers, media_type="application/json")


def _accepts_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def json_in_pieces(content: Any, depth: int = 2) -> bytes:
    """The same bytes, made value by value down to a depth, so that other threads run between them."""
    if depth and isinstance(content, dict):
        pieces = [_json(name) + b":" + json_in_pieces(value, depth - 1) for name, value in content.items()]
        return b"{" + b",".join(pieces) + b"}"
    if depth and isinstance(content, list):
        return b"[" + b",".join(json_in_pieces(value, depth - 1) for value in content) + b"]"
    return _json(content)


def _json(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
