"""What goes wrong between us and a rerank server, as errors."""

from __future__ import annotations

from qwen3_reranker.errors import RerankerError


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


class MalformedReplyError(EndpointError):
    """A response that lacks a valid score for each document.

    fault: its name in the catalogue. evidence: what shows it.
    """

    def __init__(self, fault: str, evidence: str) -> None:
        super().__init__(evidence)
        self.fault = fault
        self.evidence = evidence
