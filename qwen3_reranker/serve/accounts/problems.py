"""The problems that keys and limits end in: one wording for each, whatever the reason behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qwen3_reranker.serve.problem import Problem, busy


def invalid_api_key() -> Problem:
    """No key, an unknown one, an expired or a revoked one: 401, and nobody learns which."""
    return Problem(
        401,
        "authentication_error",
        "invalid_api_key",
        "a valid API key is needed: send it as Authorization: Bearer qr_live_...",
        headers={"www-authenticate": "Bearer"},
    )


def not_permitted(what: str) -> Problem:
    """The key is good, yet not for this: 403."""
    return Problem(403, "permission_error", "permission_denied", f"this API key is not allowed {what}")


def accounts_unavailable() -> Problem:
    """Keys cannot be checked or usage cannot be written: 503, never a free pass and never 401."""
    return busy("accounts_unavailable", "API keys and usage cannot be checked at the moment", 1)


def insufficient_quota() -> Problem:
    """The key's credit does not cover the request: 402, which only more credit cures."""
    return Problem(
        402,
        "insufficient_quota",
        "insufficient_quota",
        "the credit of this API key does not cover this request",
        headers={"x-should-retry": "false"},
    )


def rate_limited(what: str, wait_seconds: float, headers: Mapping[str, str]) -> Problem:
    """One of the key's own limits is reached: 429 with the time after which it is not; infinite for never."""
    if math.isinf(wait_seconds):
        retry = {"x-should-retry": "false"}
    else:
        retry = {
            "retry-after": str(max(1, math.ceil(wait_seconds))),
            "retry-after-ms": str(max(1, math.ceil(wait_seconds * 1000))),
        }
    return Problem(429, "rate_limit_error", "rate_limit_exceeded", what, headers={**headers, **retry})
