"""Rerank wire formats: a question -> the body to post, and the answer's JSON -> index and score of each document.

Fields and shapes are those that the servers' sources and SDKs show: Cohere v1 and v2, Jina, Hugging Face TEI, vLLM's
/score, llama.cpp's server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scored:
    """One entry of an answer: `score` is None where the server sent no number; `document` is its echo, if any."""

    index: int | None
    score: float | None
    document: str | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format.

    paths: where it is served, the most telling first. documents: the field that carries the documents. ranked: whether
    entries come best first; if not, in the order of the input.
    """

    name: str
    paths: tuple[str, ...]
    documents: str
    ranked: bool = True
    query: str = "query"
    extra: tuple[tuple[str, Any], ...] = ()

    def body(self, query: str, documents: Sequence[str]) -> dict[str, Any]:
        """The request, without model and instruction."""
        return {self.query: query, self.documents: list(documents), **dict(self.extra)}


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("cohere", ("/v2/rerank", "/v1/rerank"), "documents"),
        Dialect("jina", ("/v1/rerank", "/rerank"), "documents", extra=(("return_documents", True),)),
        Dialect("llama.cpp", ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking"), "documents"),
        Dialect("tei", ("/rerank", "/"), "texts"),
        Dialect("vllm-score", ("/v1/score", "/score"), "text_2", ranked=False, query="text_1"),
    )
}
# What detection tries, the most common first: where a path answers two dialects, the first is right for both.
ATTEMPTS = (
    ("jina", "/v1/rerank"),
    ("cohere", "/v2/rerank"),
    ("jina", "/rerank"),
    ("tei", "/rerank"),
    ("vllm-score", "/v1/score"),
    ("vllm-score", "/score"),
    ("llama.cpp", "/v1/reranking"),
    ("tei", "/"),
)


def entries(answer: object) -> list[Scored] | None:
    """The scored entries of an answer as they stand in it; None if this is no answer of a rerank server."""
    if isinstance(answer, Mapping):
        listed = next((answer[name] for name in ("results", "data") if isinstance(answer.get(name), list)), None)
    else:
        listed = answer if isinstance(answer, list) else None
    if listed is None or not all(isinstance(entry, Mapping) for entry in listed):
        return None
    if listed and not any(name in entry for entry in listed for name in ("relevance_score", "score")):
        return None
    return [_scored(entry) for entry in listed]


def prompt_tokens(answer: object) -> int | None:
    """How many tokens the server says it read, in any of the places where servers write it."""
    if not isinstance(answer, Mapping):
        return None
    meta = answer.get("meta")
    places = (
        (answer.get("usage"), ("prompt_tokens", "total_tokens")),
        (meta.get("tokens") if isinstance(meta, Mapping) else None, ("input_tokens",)),
    )
    for place, names in places:
        for name in names:
            value = place.get(name) if isinstance(place, Mapping) else None
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def _scored(entry: Mapping[str, Any]) -> Scored:
    index, score = entry.get("index"), entry.get("relevance_score", entry.get("score"))
    echo = entry.get("document", entry.get("text"))
    if isinstance(echo, Mapping):
        echo = echo.get("text")
    return Scored(
        index if isinstance(index, int) and not isinstance(index, bool) else None,
        float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None,
        echo if isinstance(echo, str) else None,
    )
