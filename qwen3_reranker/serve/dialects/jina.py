"""Jina's rerank: documents come back unless they are declined."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import (
    EchoingBody,
    RerankBody,
    RerankDialect,
    Result,
    TokenUsage,
    results_of,
    token_usage,
)


class JinaRanked(TypedDict):
    """Results, best first."""

    model: str
    object: str
    usage: TokenUsage
    results: list[Result]


class Jina(RerankDialect):
    """Jina's own reply, which llama.cpp's server copies."""

    name = "jina"
    request: type[RerankBody] = EchoingBody
    response: Any = JinaRanked

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Model, usage and results."""
        body: JinaRanked = {
            "model": answer.model,
            "object": "list",
            "usage": token_usage(answer),
            "results": list(results_of(ask, answer)),
        }
        return Reply(body, {})
