"""JSON over HTTP: bodies read under limits, the end of a connection, and replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from qwen3_reranker.serve.problems import Problem, busy, invalid

# Larger bodies would block the event loop for more than a millisecond or two.
_PARSED_IN_THREAD = 256 << 10
# Our code and libraries may walk through a value by recursion.
_MAX_DEPTH = 64

Result = TypeVar("Result")


class Bodies:
    """Reads bodies, with limits of bytes for one and for all of them."""

    def __init__(self, max_body_bytes: int, max_bodies_bytes: int, timeout: float) -> None:
        self._held = 0
        self.use(max_body_bytes, max_bodies_bytes, timeout)

    def use(self, max_body_bytes: int, max_bodies_bytes: int, timeout: float) -> None:
        """Set the limits for bodies that are not read yet."""
        self._max_body_bytes = max_body_bytes
        self._max_bodies_bytes = max_bodies_bytes
        self._timeout = timeout

    @contextmanager
    def capacity(self, request: Request) -> Iterator[None]:
        """Reserve the bytes of a request's body while it is in the server. Raises Problem 413 or 503."""
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 16 else None
        if size is not None and size > self._max_body_bytes:
            raise self._too_large()
        # A body without a length may take the maximum.
        needed = self._max_body_bytes if size is None else size
        if self._held + needed > self._max_bodies_bytes:
            raise busy("too_many_bytes", "the server holds as many bytes of requests as it may", 1.0)
        self._held += needed
        try:
            yield
        finally:
            self._held -= needed

    async def read_object(self, request: Request) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The JSON object of a body, and warnings about replaced text. Raises Problem, ClientDisconnect."""
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind.startswith("multipart/") or request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(415, "invalid_request_error", "unsupported_media_type", "expected plain application/json")
        body = await self._read(request)
        if len(body) > _PARSED_IN_THREAD:
            return await asyncio.to_thread(parse_object, body)
        return parse_object(body)

    async def _read(self, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(chunk)
        except TimeoutError:
            raise Problem(
                408, "timeout_error", "body_timeout", f"the body did not arrive within {self._timeout:g} s"
            ) from None
        return b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem(
            413, "request_too_large", "body_too_large", f"a body may have {self._max_body_bytes:,} bytes; send fewer"
        )


def parse_object(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object in the bytes. Lone surrogates, which are no text, become U+FFFD with a warning."""
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise invalid("invalid_json", "the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise invalid("invalid_json", f"the body is not JSON: line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise invalid("invalid_json", "the body is nested too deeply") from None
    except ValueError:
        raise invalid("invalid_json", "the body holds a number that is not finite or has too many digits") from None
    if not isinstance(value, dict):
        raise invalid("invalid_json", "the body must be a JSON object")
    if _is_deeper_than(value, _MAX_DEPTH):
        raise invalid("invalid_json", "the body is nested too deeply")
    # Only an escape can produce a lone surrogate, and a check of every string takes as long as parsing.
    if "\\ud" in text or "\\uD" in text:
        repaired = _repaired(value)
        if repaired != value:
            return repaired, ("lone surrogates were replaced with U+FFFD",)
    return value, ()


def _is_deeper_than(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


def _repaired(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_repaired(each) for each in value]
    if isinstance(value, dict):
        return {_repaired(key): _repaired(each) for key, each in value.items()}
    return value


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
        return json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
