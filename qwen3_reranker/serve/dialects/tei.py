"""Hugging Face TEI's /rerank and /predict: bare lists, times in headers, and its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from typing_extensions import TypedDict

from qwen3_reranker.serve.dialects.base import Dialect, ErrorFormat, JsonArray, JsonObject, JsonValue, ScoredPair, fill
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY, Options, RerankBody, renamed
from qwen3_reranker.serve.dialects.fields import wrong
from qwen3_reranker.serve.dialects.reply_parts import INDEX, SCORE, TEXT
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult

LABEL = "LABEL_0"
_SINGLE = "single"
# TEI's statuses for ours (router/src/http): 429 without capacity, 424 for a failure of the model.
_ERRORS = {
    400: (422, "Validation"),
    429: (429, "Overloaded"),
    500: (424, "Backend"),
    503: (503, "Unhealthy"),
    504: (504, "Backend"),
}
_EMPTY = (400, "Empty")
_OVERLOADED = (429, "Overloaded")
_UNHEALTHY = frozenset({"accounts_unavailable", "draining", "loading"})


class TEIError(TypedDict):
    """TEI's error."""

    error: str
    error_type: str


def _write_error(problem: Problem, _request_id: str) -> tuple[int, TEIError]:
    status, kind = _ERRORS.get(problem.status, (problem.status, "Validation"))
    if problem.code == "no_documents":
        status, kind = _EMPTY
    elif problem.status == 503 and problem.code not in _UNHEALTHY:
        status, kind = _OVERLOADED
    return status, {"error": problem.message, "error_type": kind}


def _headers(request: ScoreRequest, result: ScoreResult) -> dict[str, str]:
    """Milliseconds and counts, under the names of TEI's router."""
    seconds = result.seconds
    times = {
        "x-compute-time": seconds.total,
        "x-total-time": seconds.total,
        "x-tokenization-time": seconds.tokenizing,
        "x-queue-time": seconds.queueing,
        "x-inference-time": seconds.computing,
    }
    return {
        "x-compute-characters": str(sum(map(len, request.queries)) + sum(map(len, request.documents))),
        "x-compute-tokens": str(result.usage.prompt_tokens),
        **{name: str(round(value * 1000)) for name, value in times.items()},
    }


def _pairs(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not value:
        raise wrong("invalid_type", "must be a pair of strings, or a list of such pairs")
    pairs = [value] if len(value) == 2 and isinstance(value[0], str) else value
    for number, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise wrong("invalid_type", f"must hold pairs of strings, query and document: number {number} is none")
    return [(query, document) for query, document in pairs]


_PAIR = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}


class PredictBody(Options):
    """Pairs to score."""

    inputs: Annotated[
        list[tuple[str, str]],
        BeforeValidator(_pairs),
        Schema({"anyOf": [_PAIR, {"type": "array", "minItems": 1, "items": _PAIR}]}),
    ] = Field(description="A pair of query and document, or a list of pairs.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two pairs."""
        return {"inputs": [[EXAMPLE_QUERY, document] for document in EXAMPLE_DOCUMENTS]}


def _read_pairs(body: Mapping[str, Any], max_pairs: int) -> ScoreRequest:
    read = PredictBody.of(body)
    if len(read.inputs) > max_pairs:
        raise invalid("too_many_documents", f"`inputs` must hold at most {max_pairs} pairs", "inputs")
    return ScoreRequest(
        queries=[query for query, _ in read.inputs],
        documents=[document for _, document in read.inputs],
        form=_SINGLE if isinstance(body["inputs"][0], str) else "",
        **read.options(body),
    )


_PREDICTION = JsonObject("Prediction", "One pair's score under the model's one label.", score=SCORE, label=LABEL)


def _predictions(pair: ScoredPair) -> list[Any]:
    """One list of labels for each pair; for a single pair only its list."""
    labels = [[fill(_PREDICTION, each)] for each in pair.in_order()]
    return labels[0] if pair.request.form == _SINGLE else labels


_BODY = renamed(
    RerankBody,
    "TEIBody",
    "The same fields, TEI's names first.",
    documents="texts documents passages items input docs",
    return_documents="return_text return_documents return_input",
    truncation_side="truncation_direction truncation_side",
)


def _holds_texts(body: Mapping[str, Any]) -> bool:
    return body.get("texts") is not None and body.get("documents") is None


def _is_tei(body: Mapping[str, Any]) -> bool:
    """Whether a body with `texts` is TEI's. Elasticsearch adds top_n to TEI's fields. Dify adds top_n and a model."""
    is_dify = body.get("top_n") is not None and body.get("model") is not None
    own = any(body.get(name) is not None for name in ("return_text", "raw_scores", "truncate"))
    return _holds_texts(body) and (own or not is_dify)


TEI_ERROR = ErrorFormat(TEIError, _write_error)
TEI = Dialect(
    "tei",
    _BODY,
    partial(_BODY.read, echo_texts=True),
    JsonArray(JsonObject("Rank", "One text's score.", index=INDEX, score=SCORE, text=TEXT), ScoredPair.best_first),
    paths=("/tei/rerank",),
    shared={
        "/rerank": _is_tei,
        "/reranking": _holds_texts,
        "/v1/reranking": _holds_texts,
        "/llama.cpp/rerank": _holds_texts,
        "/llama.cpp/v1/rerank": _holds_texts,
    },
    headers=_headers,
    error=TEI_ERROR,
)
TEI_PREDICT = Dialect(
    "tei-predict",
    PredictBody,
    _read_pairs,
    JsonValue(list[_PREDICTION.type] | list[list[_PREDICTION.type]], _predictions),  # type: ignore[name-defined]
    paths=("/predict", "/tei/predict"),
    headers=_headers,
    error=TEI_ERROR,
)
