"""A rerank server at a URL, its wire format, and bounds for its responses."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.endpoints.address import ServerAddress, nothing_answers, request_headers
from qwen3_reranker.endpoints.endpoint_errors import EndpointError, RefusedError, SlowError
from qwen3_reranker.endpoints.score_reply import read_scores, refusal
from qwen3_reranker.endpoints.wire_formats import ScoreEntry, WireFormat, prompt_tokens

_MAX_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The response to one request: its entries in order, and the reported token count."""

    entries: list[ScoreEntry]
    prompt_tokens: int | None


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
        self._where = ServerAddress.of(url)
        self._model, self._timeout = model, timeout
        self._headers = request_headers(api_key)
        self.num_requests = 0
        #: Whether a calibration gives its probabilities, as a server of ours says. Then it is asked for logits.
        self.is_calibrated = False
        self.dialect, self.path = self._found(dialect)

    @property
    def address(self) -> str:
        """The URL of the route, without credentials."""
        return f"{self._where.origin}{self.path}"

    def ask(self, query: str, documents: Sequence[str], **extra: Any) -> EndpointResponse:
        """Score the documents; `extra` are further fields of the body. Raises EndpointError, RefusedError."""
        try:
            return self._ask(self.dialect, self.path, query, documents, extra)
        except RefusedError as error:
            raise RefusedError(error.status, f"{self.path} answers with {error}") from None

    def _found(self, name: str) -> tuple[WireFormat, str]:
        failures: dict[str, list[str]] = {}
        for dialect, path in self._where.attempts(name):
            try:
                self._ask(dialect, path, "Which planet is red?", ["Mars is red.", "Venus is hot."], {})
            except RefusedError as error:
                if error.status in (401, 403):
                    raise
                failures.setdefault(str(error), []).append(f"{path} ({dialect.name})")
            else:
                return dialect, path
        raise EndpointError(nothing_answers(self._where, failures))

    def _ask(
        self, dialect: WireFormat, path: str, query: str, documents: Sequence[str], extra: dict[str, Any]
    ) -> EndpointResponse:
        body = {**dialect.body(query, documents, echo=True), **({"raw_scores": True} if self.is_calibrated else {})}
        body |= extra
        if self._model is not None:
            body["model"] = self._model
        status, content = self._post(path, json.dumps(body).encode())
        if status != 200:
            raise RefusedError(status, refusal(status, content))
        listed, answer = read_scores(content)
        return EndpointResponse(listed, prompt_tokens(answer))

    def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._where.scheme == "https" else http.client.HTTPConnection
        deadline = time.monotonic() + self._timeout
        connection = kind(self._where.hostname, self._where.port, timeout=self._timeout)
        self.num_requests += 1
        try:
            connection.request("POST", path, body, self._headers)
            response = connection.getresponse()
            self.is_calibrated |= response.headers.get("x-calibrated") is not None
            return response.status, self._read(response, deadline)
        except TimeoutError:
            message = f"{self._where.host}: no answer within {self._timeout:g} s; --timeout allows more"
            raise SlowError(message) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EndpointError(f"{self._where.host}: {reason}; is the server running there?") from None
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        chunks, size = [], 0
        # The socket's timeout restarts with every chunk, so a server that sends slowly could hold us for ever.
        while chunk := response.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_BYTES:
                raise EndpointError(f"{self._where.host}: an answer of more than {_MAX_BYTES >> 20} MiB is no ranking")
            if time.monotonic() > deadline:
                raise TimeoutError
        return b"".join(chunks)
