"""DashScope's rerank: its OpenAI-compatible form, and the native one that nests the body and the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.fields import Body, Count, Documents, Flag, Query
from qwen3_reranker.serve.dialects.rerank import (
    EXAMPLE_DOCUMENTS,
    EXAMPLE_QUERY,
    MAX_DOCUMENTS,
    Error,
    RerankDialect,
    Result,
    TokenUsage,
    error_of,
    results_of,
    token_usage,
)
from qwen3_reranker.serve.problems import Problem, invalid


class DashScopeRanked(TypedDict):
    """Results, best first."""

    id: str
    object: str
    model: str
    results: list[Result]
    usage: TokenUsage


class DashScope(RerankDialect):
    """The form that OpenAI's SDK posts to `/reranks`."""

    name = "dashscope"
    response: Any = DashScopeRanked

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Results and usage."""
        body: DashScopeRanked = {
            "id": answer.request_id,
            "object": "list",
            "model": answer.model,
            "results": list(results_of(ask, answer)),
            "usage": token_usage(answer),
        }
        return Reply(body, {})


class NativeInput(Body):
    """The texts."""

    query: Query
    documents: Documents


class NativeParameters(Body):
    """What else is asked for; every option of the flat form may stand here."""

    top_n: Count | None = None
    return_documents: Flag = False
    instruct: str | None = None


class NativeBody(Body):
    """The flat form's fields, parted in two; they are read as those."""

    model: str | None = None
    input: NativeInput
    parameters: NativeParameters | None = None

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents."""
        texts = {"query": EXAMPLE_QUERY, "documents": list(EXAMPLE_DOCUMENTS)}
        return {"input": texts, "parameters": {"top_n": 2}}


class NativeOutput(TypedDict):
    """Results, best first."""

    results: list[Result]


class NativeRanked(TypedDict):
    """The nested reply."""

    output: NativeOutput
    usage: TokenUsage
    request_id: str


class NativeError(Error):
    """The error for every client, and what DashScope's own reads."""

    code: str
    request_id: str


class DashScopeNative:
    """The form of DashScope's own SDK, and of LightRAG."""

    name = "dashscope-native"
    request = NativeBody
    response: Any = NativeRanked
    error: Any = NativeError

    def __init__(self, max_documents: int = MAX_DOCUMENTS) -> None:
        self._flat = DashScope(max_documents)

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for. Raises Problem."""
        texts, options = body.get("input"), body.get("parameters") or {}
        for name, part in (("input", texts), ("parameters", options)):
            if not isinstance(part, Mapping):
                raise invalid("invalid_type", f"`{name}` must be an object", name)
        assert isinstance(texts, Mapping)
        try:
            return self._flat.read({**options, **texts, "model": body.get("model")}, route)
        except Problem as problem:
            flat = problem.parameter
            if flat is None or flat == "model":
                raise
            place = f"{'parameters' if flat.split('.')[0] in options else 'input'}.{flat}"
            raise invalid(problem.code, problem.message.replace(f"`{flat}`", f"`{place}`"), place) from None

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Results under `output`."""
        body: NativeRanked = {
            "output": {"results": list(results_of(ask, answer))},
            "usage": token_usage(answer),
            "request_id": answer.request_id,
        }
        return Reply(body, {})

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """`code`, `message` and `request_id` beside the error for every client."""
        error: NativeError = {**error_of(problem, request_id), "code": problem.code, "request_id": request_id}
        return problem.status, error
