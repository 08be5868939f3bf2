"""Bodies: read under limits, unpacked, counted before they are parsed, and held until their texts are gone."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
from starlette.requests import Request

from qwen3_reranker.serve.problems import Problem, busy, invalid
from qwen3_reranker.serve.settings import ServerSettings

# Our code and libraries may walk through a value by recursion.
_MAX_DEPTH = 64
# Values are what parsing takes time for: a record of a document may have so many, on average.
_VALUES_A_DOCUMENT = 50
_BEFORE_VALUES = (b",", b"[", b"{")
# Bytes or characters that are looked at in one step, less than a millisecond.
_COUNTED_AT_ONCE = 1 << 15
# The window of zlib for gzip's header and trailer.
_GZIP = 16 + zlib.MAX_WBITS


class HeldBytes:
    """The share of one request of the bytes that bodies may take; given back when nothing uses its texts any more."""

    def __init__(self, size: int, give_back: Callable[[], None]) -> None:
        self.size = size
        self._give_back = give_back
        self._users = 1

    def keep(self) -> None:
        """Hold the bytes until one `release` more."""
        self._users += 1

    def release(self) -> None:
        """Let go of the bytes."""
        self._users -= 1
        if not self._users:
            self._give_back()


class Bodies:
    """Reads bodies, with limits of bytes for one, for those of a key, and for all of them. max_values: of one body."""

    def __init__(self, settings: ServerSettings) -> None:
        self._held: Counter[int] = Counter()
        self.use(settings)

    def use(self, settings: ServerSettings) -> None:
        """Take over the limits, for bodies that are not read yet."""
        self._max_body_bytes = settings.max_body_bytes
        self._max_bodies_bytes = settings.max_bodies_bytes
        self._max_key_bytes = settings.max_key_bytes
        self._timeout = settings.body_timeout
        self.max_values = _VALUES_A_DOCUMENT * settings.max_documents

    @contextmanager
    def hold(self, request: Request, tenant: int) -> Iterator[HeldBytes]:
        """Reserve the bytes of a request's body while its texts are in the server. Raises Problem 413, 415 or 503."""
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 16 else None
        if size is not None and size > self._max_body_bytes:
            raise self._too_large()
        if size is None or _is_compressed(request):
            # It may take the maximum.
            size = self._max_body_bytes
        if self._held.total() + size > self._max_bodies_bytes:
            raise busy("too_many_bytes", "the server holds as many bytes of requests as it may", 1.0)
        # Without keys there is one tenant, 0.
        if tenant and self._held[tenant] + size > self._max_key_bytes:
            raise busy("too_many_bytes_of_key", "the server holds as many bytes of this API key as it may", 1.0)
        self._held[tenant] += size

        def give_back() -> None:
            self._held[tenant] -= size
            if not self._held[tenant]:
                del self._held[tenant]

        held = HeldBytes(size, give_back)
        try:
            yield held
        finally:
            held.release()

    async def read(self, request: Request) -> bytes:
        """The bytes of a body, unpacked. Raises Problem, ClientDisconnect."""
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind.startswith("multipart/"):
            raise _unsupported("a form is not read: send application/json")
        unpacker = zlib.decompressobj(_GZIP) if _is_compressed(request) else None
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout):
                async for chunk in request.stream():
                    unpacked = unpacker.decompress(chunk, self._max_body_bytes + 1 - size) if unpacker else chunk
                    size += len(unpacked)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    chunks.append(unpacked)
        except TimeoutError:
            raise Problem(
                408, "timeout_error", "body_timeout", f"the body did not arrive within {self._timeout:g} s"
            ) from None
        except zlib.error:
            raise invalid("invalid_gzip", "the body is not gzip, which its content-encoding says") from None
        if unpacker and (not unpacker.eof or unpacker.unused_data):
            raise invalid("invalid_gzip", "the body is not one whole gzip stream, which its content-encoding says")
        return b"".join(chunks)

    async def read_object(self, request: Request) -> dict[str, Any]:
        """The JSON object of a body that is held. Raises Problem, ClientDisconnect."""
        value, _ = await asyncio.to_thread(parse_object, await self.read(request), self.max_values)
        return value

    def _too_large(self) -> Problem:
        return Problem(
            413, "request_too_large", "body_too_large", f"a body may have {self._max_body_bytes:,} bytes; send fewer"
        )


def _is_compressed(request: Request) -> bool:
    """Whether the body is gzip. Raises Problem 415 for another encoding."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise _unsupported("the body is compressed in a way that is not read: send gzip, or do not compress it")
    return encoding in ("gzip", "x-gzip")


def _unsupported(message: str) -> Problem:
    headers = {"accept-encoding": "gzip, identity"}
    return Problem(415, "invalid_request_error", "unsupported_media_type", message, headers=headers)


def parse_object(body: bytes, max_values: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object in the bytes. Lone surrogates, which are no text, become U+FFFD with a warning.

    A body of more values than `max_values` is refused before any of them is made.
    """
    if _holds_more_values(body, max_values):
        raise invalid("too_many_values", f"a body may hold {max_values:,} values; send fewer documents or fields")
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


def _holds_more_values(body: bytes, most: int) -> bool:
    """Whether JSON has more values than that: each but the first follows a comma or begins a list or an object."""
    # In slices, as other threads wait while one is counted.
    count = start = 0
    is_string = False
    while start < len(body):
        part = body[start : start + _COUNTED_AT_ONCE]
        # A slice ends after what a backslash escapes.
        if (len(part) - len(part.rstrip(b"\\"))) % 2:
            part = body[start : start + len(part) + 1]
        start += len(part)
        if b"\\" in part:
            part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = part.split(b'"')
        outside = b" ".join(pieces[is_string::2])
        count += sum(map(outside.count, _BEFORE_VALUES))
        if count >= most:
            return True
        is_string ^= len(pieces) % 2 == 0
    return False


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
        return "".join(map(_without_surrogates, _parts(value, _COUNTED_AT_ONCE)))
    if isinstance(value, list):
        return [_repaired(each) for each in value]
    if isinstance(value, dict):
        return {_repaired(key): _repaired(each) for key, each in value.items()}
    return value


def _without_surrogates(text: str) -> str:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.where((codes >= 0xD800) & (codes < 0xE000), 0xFFFD, codes).astype("<u4").tobytes().decode("utf-32-le")


def _parts(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))
