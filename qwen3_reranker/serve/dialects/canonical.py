"""The canonical dialect: any client's rerank body, and one reply in which every client finds what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.rerank import RerankDialect, Result, results_of, search_units


class Usage(TypedDict):
    """prompt_tokens: as separate rows would hold them, which is charged; computed_tokens: in this request's own tree.

    cost: US dollars, where the model has a price.
    """

    prompt_tokens: int
    total_tokens: int
    computed_tokens: int
    truncated_documents: int
    search_units: int
    cost: NotRequired[float]


class Version(TypedDict):
    """The version of Cohere's API."""

    version: str
    is_experimental: bool


class BilledUnits(TypedDict):
    """Cohere's units."""

    search_units: int
    total_tokens: int


class Tokens(TypedDict):
    """Tokens in and out; a ranking has none out."""

    input_tokens: int
    output_tokens: int


class Meta(TypedDict):
    """What Cohere tells of a request; warnings: what was asked for and not done."""

    api_version: Version
    billed_units: BilledUnits
    tokens: Tokens
    cached_tokens: int
    warnings: list[str]


class Ranked(TypedDict):
    """Results, best first; ties keep the order of the documents. `data` repeats them for Voyage's clients."""

    id: str
    object: str
    model: str
    results: list[Result]
    data: NotRequired[list[Result]]
    usage: Usage
    meta: Meta


class Canonical(RerankDialect):
    """Documents go back as objects, but as strings where a body looks like Voyage's, whose clients expect those."""

    name = "canonical"
    response: Any = Ranked

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Whether a body looks like Voyage's."""
        return ("top_k" in body or "truncation" in body) and "top_n" not in body

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """The superset of all replies."""
        body = ranked(ask, answer, "2")
        body["data"] = body["results"]
        return Reply(body, {})


def ranked(ask: Ask, answer: Answer, version: str) -> Ranked:
    """Results, usage and meta; version: of Cohere's API."""
    spent, units = answer.spent, search_units(ask)
    usage: Usage = {
        "prompt_tokens": spent.prompt_tokens,
        "total_tokens": spent.prompt_tokens,
        "computed_tokens": spent.computed_tokens,
        "truncated_documents": spent.truncated_documents,
        "search_units": units,
    }
    if spent.cost is not None:
        usage["cost"] = float(spent.cost)
    return {
        "id": answer.request_id,
        "object": "list",
        "model": answer.model,
        "results": list(results_of(ask, answer)),
        "usage": usage,
        "meta": {
            "api_version": {"version": version, "is_experimental": False},
            "billed_units": {"search_units": units, "total_tokens": spent.prompt_tokens},
            "tokens": {"input_tokens": spent.prompt_tokens, "output_tokens": 0},
            "cached_tokens": 0,
            "warnings": list(dict.fromkeys((*ask.warnings, *answer.warnings))),
        },
    }
