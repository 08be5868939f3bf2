"""DashScope's rerank: its OpenAI-compatible form, and the native form with nested objects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from qwen3_reranker.serve.dialects.base import ERROR, Dialect, ErrorFormat, JsonObject, JsonValue, fill
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY, RerankBody, read_nested
from qwen3_reranker.serve.dialects.fields import Count, Documents, Flag, Query, RequestBody
from qwen3_reranker.serve.dialects.reply_parts import ID, MODEL, RESULTS, TOKEN_USAGE


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
    partial(read_nested, read=RerankBody.read, texts="input"),
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
