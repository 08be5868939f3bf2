"""DashScope's rerank: its OpenAI-compatible form, and the native form with nested objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwen3_reranker.serve.dialects.base import ERROR, Dialect, ErrorFormat, JsonObject, JsonValue, fill
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY, RerankBody
from qwen3_reranker.serve.dialects.fields import Count, Documents, Flag, Query, RequestBody
from qwen3_reranker.serve.dialects.reply_parts import ID, MODEL, RESULTS, TOKEN_USAGE
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.protocol import ScoreRequest


class NativeInput(RequestBody):
    """The texts."""

    query: Query
    documents: Documents


class NativeParameters(RequestBody):
    """Further fields; every option of the flat form is valid here."""

    top_n: Count | None = None
    return_documents: Flag = False
    instruct: str | None = None


class NativeBody(RequestBody):
    """The fields of the flat form in two parts; they are read as those."""

    model: str | None = None
    input: NativeInput
    parameters: NativeParameters | None = None

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents."""
        texts = {"query": EXAMPLE_QUERY, "documents": list(EXAMPLE_DOCUMENTS)}
        return {"input": texts, "parameters": {"top_n": 2}}


def _read_native(body: Mapping[str, Any], max_documents: int) -> ScoreRequest:
    texts, options = body.get("input"), body.get("parameters") or {}
    for name, part in (("input", texts), ("parameters", options)):
        if not isinstance(part, Mapping):
            raise invalid("invalid_type", f"`{name}` must be an object", name)
    assert isinstance(texts, Mapping)
    try:
        return RerankBody.read({**options, **texts, "model": body.get("model")}, max_documents)
    except Problem as problem:
        flat = problem.parameter
        if flat is None or flat == "model":
            raise
        nested = f"{'parameters' if flat.split('.')[0] in options else 'input'}.{flat}"
        raise invalid(problem.code, problem.message.replace(f"`{flat}`", f"`{nested}`"), nested) from None


# The form that OpenAI's SDK posts to `/reranks`.
DASHSCOPE = Dialect(
    "dashscope",
    RerankBody,
    RerankBody.read,
    JsonObject(
        "DashScopeRanked",
        "Results, best first.",
        id=ID,
        object="list",
        model=MODEL,
        results=RESULTS,
        usage=TOKEN_USAGE,
    ),
    paths=("/v1/reranks", "/compatible-api/v1/reranks", "/dashscope/compatible-api/v1/reranks"),
)
_NATIVE_ERROR = JsonObject(
    "NativeError",
    "The error for every client, and the fields that DashScope's own client reads.",
    **ERROR.fields,
    code=JsonValue(str, lambda source: source[0].code),
    request_id=JsonValue(str, lambda source: source[1]),
)
# The form of DashScope's own SDK, and of LightRAG.
DASHSCOPE_NATIVE = Dialect(
    "dashscope-native",
    NativeBody,
    _read_native,
    JsonObject(
        "NativeRanked",
        "The nested reply.",
        output=JsonObject("NativeOutput", "Results, best first.", results=RESULTS),
        usage=TOKEN_USAGE,
        request_id=ID,
    ),
    paths=(
        "/api/v1/services/rerank/text-rerank/text-rerank",
        "/dashscope/api/v1/services/rerank/text-rerank/text-rerank",
    ),
    shared=dict.fromkeys(
        ("/v1/reranks", "/compatible-api/v1/reranks"), lambda body: isinstance(body.get("input"), Mapping)
    ),
    error=ErrorFormat(_NATIVE_ERROR.type, lambda problem, id: (problem.status, fill(_NATIVE_ERROR, (problem, id)))),
)
