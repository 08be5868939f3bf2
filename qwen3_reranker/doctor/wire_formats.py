"""Rerank wire formats: a query -> a request body, and response JSON -> scores.

Sources: servers and SDKs of Cohere v1 and v2, Jina, Hugging Face TEI, vLLM's /score, llama.cpp's server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScoreEntry:
    """One entry of a response.

    score: None if the server sent no number. document: the text that the server echoes, if any.
    """

    index: int | None
    score: float | None
    document: str | None


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One wire format.

    paths: routes that serve it, the most specific first. documents, query: names of these fields. ranked: whether
    entries come best first; if not, they come in input order. extra: further fields of each request.
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


WIRE_FORMATS = {
    dialect.name: dialect
    for dialect in (
        WireFormat("cohere", ("/v2/rerank", "/v1/rerank"), "documents"),
        WireFormat("jina", ("/v1/rerank", "/rerank"), "documents", extra=(("return_documents", True),)),
        WireFormat("llama.cpp", ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking"), "documents"),
        WireFormat("tei", ("/rerank", "/"), "texts"),
        WireFormat("vllm-score", ("/v1/score", "/score"), "text_2", ranked=False, query="text_1"),
    )
}
# Formats and paths in the order of detection. If a path serves two formats, the first one is right for both.
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


def entries(answer: object) -> list[ScoreEntry] | None:
    """The entries of a response in its own order. None if no rerank server sends such a response."""
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
    """The token count that the server reports, in any of the known fields."""
    if not isinstance(answer, Mapping):
        return None
    meta = answer.get("meta")
    usage, tokens = answer.get("usage"), meta.get("tokens") if isinstance(meta, Mapping) else None
    for fields, name in ((usage, "prompt_tokens"), (usage, "total_tokens"), (tokens, "input_tokens")):
        value = fields.get(name) if isinstance(fields, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _scored(entry: Mapping[str, Any]) -> ScoreEntry:
    index, score = entry.get("index"), entry.get("relevance_score", entry.get("score"))
    echo = entry.get("document", entry.get("text"))
    if isinstance(echo, Mapping):
        echo = echo.get("text")
    return ScoreEntry(
        index if isinstance(index, int) and not isinstance(index, bool) else None,
        float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None,
        echo if isinstance(echo, str) else None,
    )
