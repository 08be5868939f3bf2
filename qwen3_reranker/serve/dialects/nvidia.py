"""NVIDIA's ranking: query and passages as objects, and logits back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import RerankBody, RerankDialect


class NvidiaBody(RerankBody):
    """The same fields, NVIDIA's name of the documents first."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **RerankBody.spellings,
        "documents": ("passages", "documents", "texts", "items", "input", "docs"),
    }


class Ranking(TypedDict):
    """One passage's logit, yes - no."""

    index: int
    logit: float


class NvidiaRanked(TypedDict):
    """Passages, best first."""

    rankings: list[Ranking]


class Nvidia(RerankDialect):
    """Scores are logits, whatever a body says."""

    name = "nvidia"
    request: type[RerankBody] = NvidiaBody
    response: Any = NvidiaRanked

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """`rankings`."""
        logits = answer.logits
        body: NvidiaRanked = {
            "rankings": [{"index": int(place), "logit": float(logits[place])} for place in answer.order]
        }
        return Reply(body, {})
