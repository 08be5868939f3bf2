"""A rerank server at a URL, its wire format, and bounds for its responses."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from qwen3_reranker.doctor.wire_formats import ATTEMPTS, WIRE_FORMATS, ScoreEntry, WireFormat, entries, prompt_tokens
from qwen3_reranker.errors import InputError, RerankerError
from qwen3_reranker.json_object import shown

_MAX_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16
_ENDINGS = ("rerank", "reranking", "score", "predict")


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The response to one request: its entries in order, and the reported token count."""

    entries: list[ScoreEntry]
    prompt_tokens: int | None


class EndpointError(RerankerError, RuntimeError):
    """A rerank server does not respond, refuses the request, or sends an unknown format."""

    exit_code = 4
    http_status = 502


class SlowError(EndpointError):
    """No response came within the timeout of one request."""


class RefusedError(EndpointError):
    """The server responded without scores; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Endpoint:
    """A server that speaks one of the WIRE_FORMATS.

    url: its base ("http://localhost:8000") or the full address of one route. dialect: name of a wire format, or "auto"
    to try all. model: the name to put into requests. timeout: seconds for one whole request.
    Raises InputError for an unusable address, EndpointError if no rerank server responds there.
    """

    def __init__(
        self,
        url: str,
        *,
        dialect: str = "auto",
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._parts = _checked(url)
        self._model, self._timeout = model, timeout
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "qwen3-reranker",
        }
        if api_key:
            self._headers["Authorization"] = f"Bearer {_header_value(api_key)}"
        self.num_requests = 0
        self.dialect, self.path = self._found(dialect)

    @property
    def address(self) -> str:
        """The URL of the route, without credentials."""
        return f"{self._parts.scheme}://{_host(self._parts)}{self.path}"

    def ask(self, query: str, documents: Sequence[str], **extra: Any) -> EndpointResponse:
        """Score the documents; `extra` are further fields of the body. Raises EndpointError, RefusedError."""
        try:
            return self._ask(self.dialect, self.path, query, documents, extra)
        except RefusedError as error:
            raise RefusedError(error.status, f"{self.path} answers with {error}") from None

    def _found(self, name: str) -> tuple[WireFormat, str]:
        given = self._parts.path.rstrip("/")
        known = [WIRE_FORMATS[name]] if name != "auto" else list(WIRE_FORMATS.values())
        if given.rsplit("/", 1)[-1] in _ENDINGS:
            attempts = [(dialect, given) for dialect in known]
        elif name != "auto":
            attempts = [(known[0], _joined(given, path)) for path in known[0].paths]
        else:
            attempts = [(WIRE_FORMATS[each], _joined(given, path)) for each, path in ATTEMPTS]
        failures: dict[str, list[str]] = {}
        for dialect, path in attempts:
            try:
                self._ask(dialect, path, "Which planet is red?", ["Mars is red.", "Venus is hot."], {})
            except RefusedError as error:
                if error.status in (401, 403):
                    raise
                failures.setdefault(str(error), []).append(f"{path} ({dialect.name})")
            else:
                return dialect, path
        raise EndpointError(
            f"{self._parts.scheme}://{_host(self._parts)}{given}: nothing here answers as a rerank server does; tried "
            + "; ".join(f"{', '.join(routes)}: {reason}" for reason, routes in failures.items())
            + ". Give the full address of its route, --dialect, or --model if it wants one"
        )

    def _ask(
        self, dialect: WireFormat, path: str, query: str, documents: Sequence[str], extra: dict[str, Any]
    ) -> EndpointResponse:
        body = {**dialect.body(query, documents), **extra}
        if self._model is not None:
            body["model"] = self._model
        status, content = self._post(path, json.dumps(body).encode())
        if status != 200:
            raise RefusedError(status, _refusal(status, content))
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            raise RefusedError(status, f"status 200, but no JSON: {shown(content[:80])}") from None
        listed = entries(answer)
        if listed is None:
            raise RefusedError(status, f"status 200, but no scores: {shown(content[:80].decode(errors='replace'))}")
        return EndpointResponse(listed, prompt_tokens(answer))

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        deadline = time.monotonic() + self._timeout
        assert self._parts.hostname is not None
        connection = kind(self._parts.hostname, self._parts.port, timeout=self._timeout)
        self.num_requests += 1
        try:
            connection.request("POST", path, body, self._headers)
            response = connection.getresponse()
            return response.status, self._read(response, deadline)
        except TimeoutError:
            message = f"{_host(self._parts)}: no answer within {self._timeout:g} s; --timeout allows more"
            raise SlowError(message) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EndpointError(f"{_host(self._parts)}: {reason}; is the server running there?") from None
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        chunks, size = [], 0
        # The socket's timeout restarts with every chunk, so a server that sends slowly could hold us for ever.
        while chunk := response.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_BYTES:
                raise EndpointError(
                    f"{_host(self._parts)}: an answer of more than {_MAX_BYTES >> 20} MiB is no ranking"
                )
            if time.monotonic() > deadline:
                raise TimeoutError
        return b"".join(chunks)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(letter <= " " for letter in url):
        raise InputError(f"expected the address of a server such as http://localhost:8000, got {shown(url)}")
    if parts.username or parts.password:
        raise InputError("an address with a password would show up in reports; use --api-key")
    if parts.query or parts.fragment:
        raise InputError(f"the address must end with a path, without ? and #, got {shown(url)}")
    return parts


def _header_value(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise InputError("the API key holds characters that no HTTP header can carry")
    return key


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _joined(given: str, path: str) -> str:
    # "http://host/v1" is what OpenAI-style clients are configured with.
    for version in ("/v1", "/v2"):
        if given.endswith(version):
            given, path = given.removesuffix(version), version + "/" + path.rsplit("/", 1)[-1]
    return given + path


def _refusal(status: int, content: bytes) -> str:
    if status in (401, 403):
        return f"status {status}: the server wants a key; give --api-key or set QWEN3_RERANKER_API_KEY"
    if 300 <= status < 400:
        return f"status {status}: it redirects; give the address it redirects to"
    said = shown(content[:100].decode(errors="replace")) if content.strip() else "no reason given"
    return f"status {status}, {said}"
