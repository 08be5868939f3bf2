"""ServerConnection: bodies -> replies, over connections that stay open; what fails for a moment is sent again."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from qwen3_reranker.endpoints.address import ServerAddress, request_headers
from qwen3_reranker.endpoints.endpoint_errors import EndpointError, RefusedError, SlowError
from qwen3_reranker.endpoints.score_reply import read_scores, refusal
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.endpoints.wire_formats import ScoreEntry
from qwen3_reranker.errors import UnavailableError

if TYPE_CHECKING:
    import httpx2

_MOMENTARY = (408, 425, 429, 502, 503, 504)
_MAX_BYTES = 64 << 20
# Seconds before the second try and at most between two; each is shortened at random, or clients would come together.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 10.0
# A server that asks for more is not waited for.
_LONGEST_RETRY_AFTER = 120.0


class ServerConnection:
    """The connections to one server. Everything runs in one event loop."""

    def __init__(self, address: ServerAddress, options: ServerOptions, api_key: str | None) -> None:
        self.address = address
        self.num_requests = 0
        self._options = options
        self._headers = request_headers(api_key)
        self._turns = asyncio.Semaphore(options.concurrency)
        self._client: httpx2.AsyncClient | None = None

    async def scores(
        self, path: str, body: Mapping[str, Any], deadline: float, *, retries: int | None = None
    ) -> tuple[list[ScoreEntry], Any]:
        """The entries of the reply to a body, and the reply.

        Raises RefusedError for a reply without scores too. The rest is that of `reply`.
        """
        return read_scores(await self.reply(path, body, deadline, retries=retries))

    async def reply(self, path: str, body: Mapping[str, Any], deadline: float, *, retries: int | None = None) -> bytes:
        """The reply of status 200 to a body. deadline: of all tries, by time.monotonic().

        retries: None for those of the options. Raises RefusedError for another status, SlowError for a deadline, and
        EndpointError where nothing replies.
        """
        return await self._answer("POST", path, json.dumps(body).encode(), deadline, retries)

    async def said(self, path: str, deadline: float, retries: int) -> Any:
        """The JSON that a path gives, None where it gives none."""
        try:
            return json.loads(await self._answer("GET", path, None, deadline, retries))
        except (EndpointError, ValueError, RecursionError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _answer(
        self, method: str, path: str, content: bytes | None, deadline: float, retries: int | None
    ) -> bytes:
        """The body of a reply of status 200. Raises what `reply` raises for others and for none."""
        most = self._options.retries if retries is None else retries
        for tried in range(1, most + 2):
            wait = min(_FIRST_WAIT * 2 ** (tried - 1), _LONGEST_WAIT) * random.uniform(0.5, 1.0)
            try:
                status, headers, reply = await self._sent(method, path, content, deadline)
            except EndpointError as error:
                problem: EndpointError = error
            else:
                if status == 200:
                    return reply
                problem = RefusedError(status, refusal(status, reply))
                if status not in _MOMENTARY:
                    raise problem
                wait = max(wait, _retry_after(headers))
            if tried > most or wait > _LONGEST_RETRY_AFTER:
                break
            if time.monotonic() + wait > deadline:
                raise SlowError(f"{problem}; the deadline left no time for another try") from None
            await asyncio.sleep(wait)
        tries = f" in {tried} tries" if tried > 1 else ""
        if isinstance(problem, RefusedError):
            raise RefusedError(problem.status, f"{problem}{tries}")
        raise type(problem)(f"{problem}{tries}")

    async def _sent(
        self, method: str, path: str, content: bytes | None, deadline: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        import httpx2

        if self._client is None:
            limits = httpx2.Limits(max_connections=self._options.concurrency)
            self._client = httpx2.AsyncClient(timeout=None, limits=limits, headers=self._headers)
        async with self._turns:
            seconds = min(self._options.timeout, deadline - time.monotonic())
            self.num_requests += 1
            try:
                # A timeout of a socket begins anew with every byte, so a slow server could hold us for ever.
                async with asyncio.timeout(seconds):
                    async with self._client.stream(method, self.address.origin + path, content=content) as response:
                        return response.status_code, response.headers, await self._body(response)
            except TimeoutError:
                raise SlowError(f"{self.address.host}: no answer within {max(seconds, 0):.3g} s") from None
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                reason = str(error) or type(error).__name__
                raise EndpointError(f"{self.address.host}: {reason}; is the server running there?") from None

    async def _body(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for some in response.aiter_bytes():
            content += some
            if len(content) > _MAX_BYTES:
                raise RefusedError(200, f"an answer of more than {_MAX_BYTES >> 20} MiB is no ranking")
        return bytes(content)


def refuse_without_client() -> None:
    """Raise UnavailableError where the library for requests is missing."""
    try:
        import httpx2  # noqa: F401
    except ImportError:
        raise UnavailableError("a model at a URL needs httpx2: pip install 'qwen3_reranker[remote]'") from None


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a reply asks to wait; 0 where it does not say, or says it in no known way."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return 0.0
