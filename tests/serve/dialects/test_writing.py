"""What each dialect replies, whole, and that it is what the OpenAPI document says."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from qwen3_reranker.serve.dialects.base import Dialect, type_of
from qwen3_reranker.serve.dialects.bodies import MAX_DOCUMENTS
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS
from qwen3_reranker.serve.dialects.dialect_table import DIALECTS as ROWS
from qwen3_reranker.serve.problems import Problem, busy, invalid
from testing.score_results import result_of

PATHS = {path.path: path for path in DIALECT_PATHS}
DIALECTS = {dialect.name: dialect for dialect in ROWS}
BODY = {"query": "q", "documents": ["a", {"text": "b", "title": "t"}]}
# The second document is the better one; probabilities are exact in binary.
LOGITS = [0.0, 100.0]


def reply(path: str, body: dict[str, Any], logits: list[float] = LOGITS, cost: str | None = None) -> Any:
    dialect = PATHS[path].choose(body)
    request = dialect.read(body, MAX_DOCUMENTS)
    written = dialect.write(request, result_of(request, logits, cost)).body
    TypeAdapter(type_of(dialect.reply)).validate_python(written, strict=True)
    return json.loads(json.dumps(written, allow_nan=False))


RESULTS = [{"index": 1, "relevance_score": 1.0}, {"index": 0, "relevance_score": 0.5}]
ECHOES = [
    {"index": 1, "relevance_score": 1.0, "document": {"text": "b", "title": "t"}},
    {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}},
]
STRINGS = [
    {"index": 1, "relevance_score": 1.0, "document": "b"},
    {"index": 0, "relevance_score": 0.5, "document": "a"},
]
TOKENS = {"prompt_tokens": 20, "total_tokens": 20}
USAGE = {**TOKENS, "computed_tokens": 14, "truncated_documents": 1, "search_units": 1}
META = {
    "api_version": {"version": "2", "is_experimental": False},
    "billed_units": {"search_units": 1, "total_tokens": 20},
    "tokens": {"input_tokens": 20, "output_tokens": 0},
    "cached_tokens": 0,
    "warnings": [],
}
COHERE = {"id": "req_1", "object": "list", "model": "nano", "results": RESULTS, "usage": USAGE, "meta": META}
JINA = {"model": "nano", "object": "list", "usage": TOKENS}
VERTEX = "/v1/projects/{project}/locations/{location}/rankingConfigs/{config}:rank"
NATIVE = "/api/v1/services/rerank/text-rerank/text-rerank"
REPLIES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "canonical": ("/v1/rerank", BODY, {**COHERE, "data": RESULTS}),
    "canonical with documents": (
        "/v1/rerank",
        {**BODY, "return_documents": True},
        {**COHERE, "results": ECHOES, "data": ECHOES},
    ),
    "canonical for Voyage": (
        "/v1/rerank",
        {**BODY, "return_documents": True, "truncation": True},
        {**COHERE, "results": STRINGS, "data": STRINGS},
    ),
    "cohere v2": ("/v2/rerank", BODY, COHERE),
    "cohere v1": (
        "/cohere/v1/rerank",
        BODY,
        {**COHERE, "meta": {**META, "api_version": {"version": "1", "is_experimental": False}}},
    ),
    "jina": ("/jina/v1/rerank", BODY, {**JINA, "results": ECHOES}),
    "llama.cpp": ("/v1/reranking", BODY, {**JINA, "results": RESULTS}),
    "voyage": (
        "/voyage/v1/rerank",
        {**BODY, "return_documents": True},
        {"object": "list", "data": STRINGS, "model": "nano", "usage": {"total_tokens": 20}},
    ),
    "vllm": ("/vllm/v1/rerank", BODY, {"id": "req_1", "model": "nano", "usage": TOKENS, "results": ECHOES}),
    "vllm score, in the order of the input": (
        "/v1/score",
        {"text_1": "q", "text_2": ["a", "b"]},
        {
            "id": "req_1",
            "object": "list",
            "created": 1_700_000_000,
            "model": "nano",
            "data": [{"index": 0, "object": "score", "score": 0.5}, {"index": 1, "object": "score", "score": 1.0}],
            "usage": TOKENS,
        },
    ),
    "sglang": (
        "/sglang/v1/rerank",
        BODY,
        [
            {"score": 1.0, "document": "b", "index": 1, "meta_info": None},
            {"score": 0.5, "document": "a", "index": 0, "meta_info": None},
        ],
    ),
    "tei": ("/rerank", {"query": "q", "texts": ["a", "b"]}, [{"index": 1, "score": 1.0}, {"index": 0, "score": 0.5}]),
    "tei with texts": (
        "/rerank",
        {"query": "q", "texts": ["a", "b"], "return_text": True},
        [{"index": 1, "score": 1.0, "text": "b"}, {"index": 0, "score": 0.5, "text": "a"}],
    ),
    "tei predict, in the order of the input": (
        "/predict",
        {"inputs": [["q", "a"], ["q", "b"]]},
        [[{"score": 0.5, "label": "LABEL_0"}], [{"score": 1.0, "label": "LABEL_0"}]],
    ),
    "mixedbread": (
        "/mixedbread/v1/reranking",
        {"query": "q", "input": ["a", "b"], "return_input": True},
        {
            "usage": {**TOKENS, "completion_tokens": 0},
            "model": "nano",
            "data": [
                {"index": 1, "score": 1.0, "object": "rank_result", "input": "b"},
                {"index": 0, "score": 0.5, "object": "rank_result", "input": "a"},
            ],
            "object": "list",
            "top_k": 2,
            "return_input": True,
        },
    ),
    "dashscope": (
        "/v1/reranks",
        BODY,
        {"id": "req_1", "object": "list", "model": "nano", "results": RESULTS, "usage": TOKENS},
    ),
    "dashscope native": (
        NATIVE,
        {"input": BODY},
        {"output": {"results": RESULTS}, "usage": TOKENS, "request_id": "req_1"},
    ),
    "openrouter": (
        "/api/v1/rerank",
        BODY,
        {
            "id": "req_1",
            "model": "nano",
            "provider": "qwen3_reranker",
            "results": ECHOES,
            "usage": {"search_units": 1, "total_tokens": 20},
        },
    ),
    "ollama": (
        "/api/rerank",
        {**BODY, "return_documents": True},
        {**COHERE, "results": STRINGS, "data": STRINGS},
    ),
    "nvidia": (
        "/nvidia/v1/ranking",
        {"query": {"text": "q"}, "passages": [{"text": "a"}, {"text": "b"}]},
        {"rankings": [{"index": 1, "logit": 100.0}, {"index": 0, "logit": 0.0}], "usage": TOKENS},
    ),
    "infinity": (
        "/infinity/rerank",
        {**BODY, "return_documents": True},
        {
            "object": "rerank",
            "id": "req_1",
            "created": 1_700_000_000,
            "model": "nano",
            "results": STRINGS,
            "usage": TOKENS,
        },
    ),
    "weaviate, in the order of the input": (
        "/rerank",
        {**BODY, "property": ""},
        {"query": "q", "scores": [{"document": "a", "score": 0.5}, {"document": "b", "score": 1.0}]},
    ),
    "zeroentropy": (
        "/v1/models/rerank",
        {"query": "q", "documents": ["a", "é"]},
        {
            "results": RESULTS,
            "total_bytes": 4,
            "total_tokens": 20,
            "actual_latency_mode": "fast",
            "e2e_latency": 0.006,
            "inference_latency": 0.003,
        },
    ),
    "pinecone": (
        "/pinecone/rerank",
        {**BODY, "rank_fields": ["text"], "parameters": {"truncate": "END"}},
        {
            "model": "nano",
            "data": [
                {"index": 1, "score": 1.0, "document": {"text": "b", "title": "t"}},
                {"index": 0, "score": 0.5, "document": {"text": "a"}},
            ],
            "usage": {"rerank_units": 1},
        },
    ),
    "deepinfra, in the order of the input": (
        "/v1/inference/{model:path}",
        {"queries": ["q"], "documents": ["a", "b"]},
        {
            "scores": [0.5, 1.0],
            "input_tokens": 20,
            "request_id": "req_1",
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": 6,
                "cost": 0.0,
                "tokens_generated": 0,
                "tokens_input": 20,
            },
        },
    ),
    "vertex": (
        VERTEX,
        {"query": "q", "records": [{"id": "x", "title": "t", "content": "a"}, {"content": "b"}]},
        {
            "records": [
                {"id": "1", "content": "b", "score": 1.0},
                {"id": "x", "title": "t", "content": "a", "score": 0.5},
            ]
        },
    ),
    "vertex, only ids": (
        VERTEX,
        {
            "query": "q",
            "records": [{"id": "x", "content": "a"}, {"id": "y", "content": "b"}],
            "topN": 1,
            "ignoreRecordDetailsInResponse": True,
        },
        {"records": [{"id": "y", "score": 1.0}]},
    ),
    "decisions": (
        "/v1/decisions",
        {
            "input": "a",
            "questions": [
                {"type": "predicate", "name": "one", "instructions": "q"},
                {"type": "predicate", "instructions": "r"},
            ],
        },
        {
            "model": "nano",
            "answers": [
                {"type": "predicate", "name": "one", "probability": 0.5},
                {"type": "predicate", "name": None, "probability": 1.0},
            ],
            "usage": {
                "input_tokens": 20,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 20,
            },
        },
    ),
}


@pytest.mark.parametrize(("path", "body", "expected"), REPLIES.values(), ids=REPLIES)
def test_the_reply_is(path: str, body: dict[str, Any], expected: Any) -> None:
    assert reply(path, body) == expected


def test_every_dialect_is_among_the_replies() -> None:
    assert {PATHS[path].choose(body).name for path, body, _ in REPLIES.values()} == set(DIALECTS)


def test_a_single_pair_of_predict_has_its_labels_alone() -> None:
    assert reply("/predict", {"inputs": ["q", "a"]}, [0.0]) == [{"score": 0.5, "label": "LABEL_0"}]


def test_top_n_cuts_the_results_and_not_the_units() -> None:
    body = {"query": "q", "documents": ["a"] * 201, "top_n": 1}
    ranked = reply("/v1/rerank", body, [0.0] * 200 + [1.0])
    assert [result["index"] for result in ranked["results"]] == [200]
    assert ranked["meta"]["billed_units"]["search_units"] == 3


def test_raw_scores_are_logits_and_details_hold_both() -> None:
    ranked = reply("/v1/rerank", {**BODY, "raw_scores": True, "return_details": True})
    assert [result["relevance_score"] for result in ranked["results"]] == [100.0, 0.0]
    assert ranked["results"][1]["details"] == {
        "logit": 0.0,
        "probability": 0.5,
        "document_tokens": 4,
        "kept_document_tokens": 2,
        "query_tokens": 3,
        "kept_query_tokens": 3,
        "is_lower_bound": False,
    }


def test_a_price_is_told_in_dollars() -> None:
    assert reply("/v1/rerank", BODY, cost="0.000002")["usage"]["cost"] == 0.000002
    assert reply("/api/v1/rerank", BODY, cost="0.000002")["usage"]["cost"] == 0.000002


def test_warnings_are_told_once() -> None:
    assert reply("/v2/rerank", {**BODY, "priority": 1})["meta"]["warnings"] == ["`priority` is not supported: ignored"]


def test_tei_tells_times_and_counts_in_headers() -> None:
    tei = DIALECTS["tei"]
    request = tei.read({"query": "query", "texts": ["a", "bc"]}, MAX_DOCUMENTS)
    assert tei.write(request, result_of(request, LOGITS)).headers == {
        "x-compute-characters": "13",
        "x-compute-tokens": "20",
        "x-compute-time": "6",
        "x-total-time": "6",
        "x-tokenization-time": "1",
        "x-queue-time": "2",
        "x-inference-time": "3",
    }


PROBLEM = invalid("document_not_string", "`documents.3` must be a string", "documents.3")
CANONICAL_ERROR = {
    "id": "req_1",
    "error": {
        "message": "`documents.3` must be a string",
        "type": "invalid_request_error",
        "param": "documents.3",
        "code": "document_not_string",
    },
    "message": "`documents.3` must be a string",
    "detail": "`documents.3` must be a string",
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_an_error_has_the_shape_that_the_document_gives_it(dialect: Dialect) -> None:
    status, written = dialect.error.write(PROBLEM, "req_1")
    TypeAdapter(dialect.error.type).validate_python(written, strict=True)
    if dialect.name.startswith("tei"):
        assert (status, written) == (422, {"error": PROBLEM.message, "error_type": "Validation"})
    elif dialect.name == "weaviate":
        assert (status, written) == (400, {"error": PROBLEM.message})
    else:
        assert status == 400
        assert written.items() >= CANONICAL_ERROR.items()


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (invalid("no_documents", "m"), 400, "Empty"),
        (Problem(401, "authentication_error", "invalid_api_key", "m"), 401, "Validation"),
        (Problem(413, "request_too_large", "body_too_large", "m"), 413, "Validation"),
        (Problem(429, "rate_limit_error", "rate_limit_exceeded", "m"), 429, "Overloaded"),
        (Problem(500, "server_error", "inference_error", "m"), 424, "Backend"),
        (busy("overloaded", "m", 1), 429, "Overloaded"),
        (busy("draining", "m", 1), 503, "Unhealthy"),
        (Problem(504, "timeout_error", "deadline_exceeded", "m"), 504, "Backend"),
    ],
)
def test_tei_has_statuses_of_its_own(problem: Problem, status: int, kind: str) -> None:
    assert DIALECTS["tei"].error.write(problem, "req_1") == (status, {"error": "m", "error_type": kind})
