"""Voyage's rerank: results stand under `data`, and documents come back as strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import RerankBody, RerankDialect, Result, results_of


class VoyageBody(RerankBody):
    """The same fields, Voyage's names first."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **RerankBody.spellings,
        "top_n": ("top_k", "top_n"),
        "truncate": ("truncation", "truncate"),
    }


class TotalTokens(TypedDict):
    """Tokens as separate rows would hold them."""

    total_tokens: int


class VoyageRanked(TypedDict):
    """Results, best first."""

    object: str
    data: list[Result]
    model: str
    usage: TotalTokens


class Voyage(RerankDialect):
    """Unlike Voyage's own server, blank documents are judged and do not fail the request."""

    name = "voyage"
    request: type[RerankBody] = VoyageBody
    response: Any = VoyageRanked

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Always."""
        return True

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """`data`, model and usage."""
        body: VoyageRanked = {
            "object": "list",
            "data": list(results_of(ask, answer)),
            "model": answer.model,
            "usage": {"total_tokens": answer.spent.prompt_tokens},
        }
        return Reply(body, {})
