"""OpenRouter's rerank: documents always come back, with a provider, units and cost."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import (
    EchoingBody,
    RerankBody,
    RerankDialect,
    Result,
    results_of,
    search_units,
)


class OpenRouterUsage(TypedDict):
    """cost: US dollars, where the model has a price."""

    search_units: int
    total_tokens: int
    cost: NotRequired[float]


class OpenRouterRanked(TypedDict):
    """Results, best first."""

    id: str
    model: str
    provider: str
    results: list[Result]
    usage: OpenRouterUsage


class OpenRouter(RerankDialect):
    """OpenRouter's own reply."""

    name = "openrouter"
    request: type[RerankBody] = EchoingBody
    response: Any = OpenRouterRanked

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Results, usage and who served them."""
        usage: OpenRouterUsage = {"search_units": search_units(ask), "total_tokens": answer.spent.prompt_tokens}
        if answer.spent.cost is not None:
            usage["cost"] = float(answer.spent.cost)
        body: OpenRouterRanked = {
            "id": answer.request_id,
            "model": answer.model,
            "provider": "qwen3_reranker",
            "results": list(results_of(ask, answer)),
            "usage": usage,
        }
        return Reply(body, {})
