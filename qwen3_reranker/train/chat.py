"""A question -> a language model's answer, through OpenAI's chat completions API."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from qwen3_reranker.errors import InputError, RerankerError
from qwen3_reranker.json_object import shown

_MAX_BYTES = 4 << 20
_ATTEMPTS = 3
_FIRST_WAIT_SECONDS = 1.0
_RETRY_STATUS = (408, 429, 500, 502, 503, 504)


class ChatError(RerankerError, RuntimeError):
    """A chat server does not respond, refuses the request, or sends no chat completion."""

    exit_code = 4
    http_status = 502


class Chat:
    """A chat server.

    url: its base, such as http://localhost:8000/v1. model: the name in requests. timeout: seconds for one answer.
    Raises InputError for an invalid address or key.
    """

    def __init__(self, url: str, model: str, *, api_key: str | None = None, timeout: float = 120.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"the endpoint must be an address like http://localhost:8000/v1, got {url!r}")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise InputError("the API key must be plain printable characters")
        self._parts, self._model, self._timeout = parts, model, timeout
        self._headers = {"Content-Type": "application/json", "User-Agent": "qwen3-reranker"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def ask(self, question: str, *, seed: int, temperature: float = 0.7) -> str:
        """The answer's text; raises ChatError after three failed attempts."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": question}],
            "temperature": temperature,
            "seed": seed,
            "stream": False,
        }
        for attempt in range(_ATTEMPTS):
            try:
                status, content = self._post(json.dumps(body).encode())
            except (OSError, http.client.HTTPException) as error:
                status, content = 0, str(error).encode()
            if status == 200:
                return _content(content)
            if status and status not in _RETRY_STATUS:
                break
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_FIRST_WAIT_SECONDS * 2**attempt)
        reason = f"answers with status {status}" if status else "does not answer"
        raise ChatError(f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}: {reason}: {_start(content)}")

    def _post(self, body: bytes) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=self._timeout)
        try:
            connection.request("POST", self._parts.path.rstrip("/") + "/chat/completions", body, self._headers)
            response = connection.getresponse()
            return response.status, response.read(_MAX_BYTES)
        finally:
            connection.close()


def _content(answer: bytes) -> str:
    try:
        fields: Any = json.loads(answer)
        text = fields["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise ChatError(f"the endpoint's answer is no chat completion: {_start(answer)}")
    return text


def _start(content: bytes) -> str:
    return shown(content[:200].decode("utf-8", "replace"))
