"""Rerank wire formats: a query -> a request body, and response JSON -> scores in document order.

Sources: servers and SDKs of Cohere v1 and v2, Jina, Voyage, Hugging Face TEI, vLLM, SGLang, llama.cpp's server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.endpoints.endpoint_errors import MalformedReplyError

#: Fields that may hold an instruction, each as a path of names.
ANY_INSTRUCTION = (("instruction",), ("instruct",), ("chat_template_kwargs", "instruction"))


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
    entries come best first; if not, they come in input order. echo: the field that asks for the documents' texts in the
    reply, None if there is none. raw: fields that ask for logits, one of which may work. instructions: fields that may
    hold the instruction, as a path of names. most_documents: those of one request.
    """

    name: str
    paths: tuple[str, ...]
    documents: str = "documents"
    ranked: bool = True
    query: str = "query"
    echo: str | None = None
    raw: tuple[tuple[str, bool], ...] = (("use_activation", False), ("raw_scores", True))
    instructions: tuple[tuple[str, ...], ...] = ANY_INSTRUCTION
    most_documents: int = 64

    def body(self, query: str, documents: Sequence[str], *, echo: bool = False) -> dict[str, Any]:
        """The request, without model and instruction."""
        asked = {} if self.echo is None else {self.echo: echo}
        return {self.query: query, self.documents: list(documents), **asked}


def nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    """The field of that path: ("a", "b") gives {"a": {"b": value}}."""
    for name in reversed(path):
        value = {name: value}
    return dict(value)


_RERANK = ("/v1/rerank", "/rerank")
WIRE_FORMATS = {
    dialect.name: dialect
    for dialect in (
        WireFormat("cohere", ("/v2/rerank", "/v1/rerank")),
        WireFormat("jina", _RERANK, echo="return_documents"),
        WireFormat("voyage", ("/v1/rerank",), echo="return_documents", raw=(), instructions=()),
        WireFormat("vllm", ("/v1/rerank", "/v2/rerank", "/rerank")),
        WireFormat("sglang", _RERANK, echo="return_documents", raw=(), instructions=(("instruct",),)),
        WireFormat("llama.cpp", (*_RERANK, "/v1/reranking", "/reranking")),
        WireFormat("tei", ("/rerank", "/"), "texts", raw=(("raw_scores", True),), most_documents=32),
        WireFormat("vllm-score", ("/v1/score", "/score"), "text_2", ranked=False, query="text_1"),
        WireFormat("qwen3-reranker", _RERANK, echo="return_documents", raw=(("raw_scores", True),)),
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


def aligned(listed: Sequence[ScoreEntry], documents: Sequence[str]) -> list[float]:
    """The score of each document, in input order. Raises MalformedReplyError unless each has exactly one."""
    for entry in listed:
        if entry.score is None or not math.isfinite(entry.score):
            shown = "no number" if entry.score is None else str(entry.score)
            raise MalformedReplyError("not-a-number", f"{shown} as a score, in {len(listed)} entries")
    indices = [entry.index for entry in listed]
    if sorted(index for index in indices if index is not None) != list(range(len(documents))):
        few = ", ".join("none" if index is None else str(index) for index in indices[:8]) or "nothing"
        raise MalformedReplyError(
            "response-shape", f"{len(documents)} documents were sent, and the indices that came back are {few}"
        )
    scores = [0.0] * len(documents)
    for entry in listed:
        assert entry.index is not None
        assert entry.score is not None
        # The echoed text may be cut or cleaned. It is a fault only if it equals another document of ours.
        if entry.document is not None and entry.document != documents[entry.index] and entry.document in documents:
            raise MalformedReplyError(
                "index-mapping",
                f"index {entry.index} comes with the text of document {documents.index(entry.document)}",
            )
        scores[entry.index] = entry.score
    return scores


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """What a server says of its work, None where it does not: tokens of all pairs, those computed, documents cut."""

    prompt_tokens: int | None
    computed_tokens: int | None
    truncated_documents: int | None


def reported_usage(answer: object) -> ReportedUsage:
    """The counts of a response, in any of the known fields."""
    of = answer if isinstance(answer, Mapping) else {}
    meta = of.get("meta")
    usage, tokens = of.get("usage"), meta.get("tokens") if isinstance(meta, Mapping) else None
    prompt = [_count(usage, "prompt_tokens"), _count(usage, "total_tokens"), _count(tokens, "input_tokens")]
    return ReportedUsage(
        next((count for count in prompt if count), None),
        _count(usage, "computed_tokens"),
        _count(usage, "truncated_documents"),
    )


def prompt_tokens(answer: object) -> int | None:
    """The token count that the server reports, in any of the known fields."""
    return reported_usage(answer).prompt_tokens


def _count(fields: object, name: str) -> int | None:
    value = fields.get(name) if isinstance(fields, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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
