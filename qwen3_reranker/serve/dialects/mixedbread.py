"""Mixedbread's reranking: documents are `input`, and results stand under `data` with `score`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NotRequired

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import RerankBody, RerankDialect, TokenUsage, best_first, token_usage


class MixedbreadBody(RerankBody):
    """The same fields, Mixedbread's names first."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **RerankBody.spellings,
        "documents": ("input", "documents", "texts", "passages", "items", "docs"),
        "top_n": ("top_k", "top_n"),
        "return_documents": ("return_input", "return_documents", "return_text"),
    }


class MixedbreadResult(TypedDict):
    """One document's score."""

    index: int
    score: float
    input: NotRequired[str]
    object: str


class MixedbreadUsage(TokenUsage):
    """Tokens as separate rows would hold them; nothing is written."""

    completion_tokens: int


class MixedbreadRanked(TypedDict):
    """Results, best first."""

    usage: MixedbreadUsage
    model: str
    data: list[MixedbreadResult]
    object: str
    top_k: int
    return_input: bool


class Mixedbread(RerankDialect):
    """Documents go back as the strings that were judged."""

    name = "mixedbread"
    request: type[RerankBody] = MixedbreadBody
    response: Any = MixedbreadRanked

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Always."""
        return True

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """`data`, model and usage."""
        results: list[MixedbreadResult] = []
        for place, score, text in best_first(ask, answer):
            result: MixedbreadResult = {"index": place, "score": score, "object": "rank_result"}
            if text is not None:
                result["input"] = text
            results.append(result)
        body: MixedbreadRanked = {
            "usage": {**token_usage(answer), "completion_tokens": 0},
            "model": answer.model,
            "data": results,
            "object": "list",
            "top_k": len(results),
            "return_input": ask.echoes is not None,
        }
        return Reply(body, {})
