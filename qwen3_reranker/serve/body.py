"""Body of a request -> JSON object, under limits of size, time, depth and numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from starlette.requests import Request

from qwen3_reranker.serve.problems import Problem, busy, invalid

# Beyond this, parsing keeps the event loop for longer than a millisecond or two.
_PARSED_ASIDE = 256 << 10
# Whoever walks through a value below, ours or a library's, may do so by recursion.
_DEEPEST = 64


class Bodies:
    """Bytes of bodies in the server, under a bound for one and one for all."""

    def __init__(self, max_body_bytes: int, max_bodies_bytes: int, timeout: float) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_bodies_bytes = max_bodies_bytes
        self._timeout = timeout
        self._held = 0

    @contextmanager
    def room(self, request: Request) -> Iterator[None]:
        """Hold room for the body of a request as long as it is in the server; raises Problem if there is none."""
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 16 else None
        if size is not None and size > self._max_body_bytes:
            raise self._too_large()
        # A body that does not say how long it is may take all that one may.
        needed = self._max_body_bytes if size is None else size
        if self._held + needed > self._max_bodies_bytes:
            raise busy("too_many_bytes", "the server holds as many bytes of requests as it may", 1.0)
        self._held += needed
        try:
            yield
        finally:
            self._held -= needed

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises Problem 413 or 408, and ClientDisconnect."""
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


async def read_object(bodies: Bodies, request: Request) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object of a body, and warnings about what was replaced in it. Raises Problem, ClientDisconnect."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind.startswith("multipart/") or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "invalid_request_error", "unsupported_media_type", "expected plain application/json")
    body = await bodies.read(request)
    if len(body) > _PARSED_ASIDE:
        return await asyncio.to_thread(parse_object, body)
    return parse_object(body)


def parse_object(body: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object that the bytes are; lone surrogates, which are no text, become U+FFFD with a warning."""
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
    if _is_deeper_than(value, _DEEPEST):
        raise invalid("invalid_json", "the body is nested too deeply")
    # Only an escape can bring a lone surrogate in, and looking at every string takes as long as parsing.
    if "\\ud" in text or "\\uD" in text:
        mended = _mended(value)
        if mended != value:
            return mended, ("lone surrogates were replaced with U+FFFD",)
    return value, ()


def _is_deeper_than(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
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


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(each) for key, each in value.items()}
    return value


async def disconnected(request: Request) -> None:
    """Return when the client has gone; nobody else may call `receive` from the end of the body on."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
