"""Problem: a request that ends in an error, as every dialect can write it."""

from __future__ import annotations

from collections.abc import Mapping

from qwen3_reranker.errors import InputError, OutOfMemoryError, QueryTooLongError, RerankerError


class Problem(Exception):  # noqa: N818 - the name of RFC 9457
    """An HTTP status with its kind, and a sentence for the caller that never repeats what the caller sent.

    kind: the OpenAI-style type, such as "invalid_request_error"; code: a stable name for programs, such as
    "too_many_documents"; parameter: the place in the body, such as "documents.3"; headers: what else the reply says,
    such as Retry-After. Source of the statuses: wire-formats.md, 1.10.
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
    """A body that cannot be used as it is: 400."""
    return Problem(400, "invalid_request_error", code, message, parameter=parameter)


def busy(code: str, message: str, retry_after_seconds: float) -> Problem:
    """No room now, through no fault of the caller's: 503 with the time after which to try again."""
    whole = max(1, min(60, round(retry_after_seconds + 0.5)))
    headers = {"retry-after": str(whole), "retry-after-ms": str(whole * 1000)}
    return Problem(503, "overloaded_error", code, message, headers=headers)


def of_error(error: RerankerError) -> Problem:
    """The problem that an error of the library's is to a caller, who must not see texts, files or tensors."""
    if isinstance(error, QueryTooLongError):
        return invalid("context_length_exceeded", "instruction and query alone fill the model's context", "query")
    if isinstance(error, InputError):
        return invalid("invalid_input", "the model cannot read these texts")
    if isinstance(error, OutOfMemoryError):
        return busy("out_of_memory", "this request needs more memory than is free; send fewer or shorter texts", 1)
    return Problem(500, "server_error", "inference_error", "the model gave no score; the server's log says why")
