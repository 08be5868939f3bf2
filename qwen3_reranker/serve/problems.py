"""Problem: an error of a request, in a form that every dialect can write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from qwen3_reranker.errors import InputError, OutOfMemoryError, QueryTooLongError, RerankerError


class Problem(Exception):  # noqa: N818 - the name of RFC 9457
    """An HTTP status, its type, and a sentence that never repeats the client's text.

    kind: the OpenAI-style type, such as "invalid_request_error". code: a stable name for programs, such as
    "too_many_documents". parameter: the field of the body, such as "documents.3". headers: further reply headers,
    such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        code: str,
        message: str,
        *,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.message = message
        self.parameter = parameter
        self.headers = dict(headers or {})


def invalid(code: str, message: str, parameter: str | None = None) -> Problem:
    """400: the body cannot be used as it is."""
    return Problem(400, "invalid_request_error", code, message, parameter=parameter)


def busy(code: str, message: str, retry_after_seconds: float) -> Problem:
    """503: no capacity now, and the time after which to try again."""
    whole = max(1, min(60, round(retry_after_seconds + 0.5)))
    headers = {"retry-after": str(whole), "retry-after-ms": str(whole * 1000)}
    return Problem(503, "overloaded_error", code, message, headers=headers)


def late() -> Problem:
    """504: the deadline of the request has passed."""
    return Problem(504, "timeout_error", "deadline_exceeded", "the deadline passed before the answer was ready")


def of_error(error: RerankerError) -> Problem:
    """The problem for an error of the library. Clients must not see texts, files or tensors."""
    if isinstance(error, QueryTooLongError):
        return invalid("context_length_exceeded", "instruction and query alone fill the model's context", "query")
    if isinstance(error, InputError):
        return invalid("invalid_input", "the model cannot read these texts")
    if isinstance(error, OutOfMemoryError):
        return busy("out_of_memory", "this request needs more memory than is free; send fewer or shorter texts", 1)
    return Problem(500, "server_error", "inference_error", "the model gave no score; the server's log says why")


def invalid_api_key() -> Problem:
    """401: no key, or an unknown, expired or revoked one. The reply does not say which."""
    return Problem(
        401,
        "authentication_error",
        "invalid_api_key",
        "a valid API key is needed: send it as Authorization: Bearer qr_live_...",
        headers={"www-authenticate": "Bearer"},
    )


def not_permitted(what: str) -> Problem:
    """403: the key is valid, but not for this."""
    return Problem(403, "permission_error", "permission_denied", f"this API key is not allowed {what}")


def accounts_unavailable() -> Problem:
    """503: keys cannot be checked or usage cannot be written. Never free access and never 401."""
    return busy("accounts_unavailable", "API keys and usage cannot be checked at the moment", 1)


def insufficient_quota() -> Problem:
    """402: the key's credit does not cover the request; only more credit helps."""
    return _unpaid("insufficient_quota", "the credit of this API key does not cover this request")


def budget_exceeded(resets_at: int) -> Problem:
    """402: the key's budget of this month does not cover the request, until it resets at a Unix time."""
    day = datetime.fromtimestamp(resets_at, UTC).strftime("%Y-%m-%d")
    return _unpaid(
        "budget_exceeded",
        f"the monthly budget of this API key does not cover this request; it resets on {day} at 00:00 UTC",
    )


def _unpaid(code: str, message: str) -> Problem:
    return Problem(402, "insufficient_quota", code, message, headers={"x-should-retry": "false"})


def rate_limited(what: str, wait_seconds: float, headers: Mapping[str, str]) -> Problem:
    """429: a limit of the key is reached, until the wait is over. An infinite wait means that it never fits."""
    if math.isinf(wait_seconds):
        retry = {"x-should-retry": "false"}
    else:
        retry = {
            "retry-after": str(max(1, math.ceil(wait_seconds))),
            "retry-after-ms": str(max(1, math.ceil(wait_seconds * 1000))),
        }
    return Problem(429, "rate_limit_error", "rate_limit_exceeded", what, headers={**headers, **retry})
