"""Cohere's v1 and v2 rerank: the canonical reply without Voyage's list."""

from __future__ import annotations

from typing import Any

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.canonical import Ranked, ranked
from qwen3_reranker.serve.dialects.rerank import MAX_DOCUMENTS, RerankDialect


class Cohere(RerankDialect):
    """Both versions are read alike: version 2 has no `return_documents`, but vLLM's clients send it there."""

    response: Any = Ranked

    def __init__(self, version: int, max_documents: int = MAX_DOCUMENTS) -> None:
        super().__init__(max_documents)
        self.name = f"cohere-v{version}"
        self._version = str(version)

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """`id`, `results` and `meta`; model and usage for those who look."""
        return Reply(ranked(ask, answer, self._version), {})
