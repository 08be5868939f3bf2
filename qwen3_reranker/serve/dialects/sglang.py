"""SGLang's rerank: a bare list, documents as strings, which come back unless they are declined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import EchoingBody, RerankBody, RerankDialect, best_first


class SGLangResult(TypedDict):
    """One document's score."""

    score: float
    document: NotRequired[str]
    index: int
    meta_info: None


class SGLang(RerankDialect):
    """Unlike SGLang's own server, blank documents are judged and do not fail the request."""

    name = "sglang"
    request: type[RerankBody] = EchoingBody
    response: Any = list[SGLangResult]

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Always."""
        return True

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """The list, best first."""
        results: list[SGLangResult] = []
        for place, score, document in best_first(ask, answer):
            result: SGLangResult = {"score": score, "index": place, "meta_info": None}
            if document is not None:
                result["document"] = document
            results.append(result)
        return Reply(results, {})
