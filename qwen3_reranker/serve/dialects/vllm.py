"""vLLM's /rerank, which gives documents back, and /score, which answers in the order of the pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.fields import DOCUMENT_SCHEMA, wrong
from qwen3_reranker.serve.dialects.options import Options
from qwen3_reranker.serve.dialects.rerank import (
    EXAMPLE_DOCUMENTS,
    EXAMPLE_QUERY,
    MAX_DOCUMENTS,
    EchoingBody,
    Error,
    RerankBody,
    RerankDialect,
    Result,
    TokenUsage,
    error_of,
    results_of,
    token_usage,
)
from qwen3_reranker.serve.documents import text_of
from qwen3_reranker.serve.problems import Problem, invalid


class VLLMRanked(TypedDict):
    """Results, best first."""

    id: str
    model: str
    usage: TokenUsage
    results: list[Result]


class VLLMRerank(RerankDialect):
    """vLLM's own reply; it cannot be told not to give documents back, we can."""

    name = "vllm"
    request: type[RerankBody] = EchoingBody
    response: Any = VLLMRanked

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Results and usage."""
        body: VLLMRanked = {
            "id": answer.request_id,
            "model": answer.model,
            "usage": token_usage(answer),
            "results": list(results_of(ask, answer)),
        }
        return Reply(body, {})


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise wrong("no_documents", "must hold at least one text")
    try:
        return [text_of(text, None, f"{number}") for number, text in enumerate(values)]
    except Problem as problem:
        raise wrong(problem.code, f"must be a text or a list of texts: number {problem.parameter} is none") from None


Texts = Annotated[
    list[str],
    BeforeValidator(_texts),
    Schema({"anyOf": [*DOCUMENT_SCHEMA["anyOf"], {"type": "array", "minItems": 1, "items": DOCUMENT_SCHEMA}]}),
]


class ScoreBody(Options):
    """Two texts, one and several, or several and as many."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Options.spellings,
        "queries": ("text_1", "queries", "data_1", "query"),
        "documents": ("text_2", "documents", "items", "data_2"),
    }

    queries: Texts = Field(description="One query for all documents, or one for each.")
    documents: Texts = Field(description="What is judged.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents."""
        return {"text_1": EXAMPLE_QUERY, "text_2": list(EXAMPLE_DOCUMENTS)}


class Score(TypedDict):
    """One pair's score."""

    index: int
    object: str
    score: float


class Scored(TypedDict):
    """Scores in the order of the pairs."""

    id: str
    object: str
    created: int
    model: str
    data: list[Score]
    usage: TokenUsage


class VLLMScore:
    """/score."""

    name = "vllm-score"
    request = ScoreBody
    response: Any = Scored
    error: Any = Error

    def __init__(self, max_pairs: int = MAX_DOCUMENTS) -> None:
        self._max_pairs = max_pairs

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for. Raises Problem."""
        asked = ScoreBody.of(body)
        queries, documents = asked.queries, asked.documents
        if len(queries) not in (1, len(documents)):
            place = asked.place("queries")
            raise invalid("invalid_value", f"`{place}` must hold one text, or as many as there are documents", place)
        if len(documents) > self._max_pairs:
            place = asked.place("documents")
            raise invalid("too_many_documents", f"`{place}` must hold at most {self._max_pairs} texts", place)
        return Ask(
            queries=queries * len(documents) if len(queries) == 1 else queries,
            documents=documents,
            model=asked.model or None,
            instruction=asked.instructed(),
            raw_scores=asked.raw(),
            limits=asked.limits(),
            warnings=asked.warnings(body),
        )

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Scores in the order of the pairs."""
        body: Scored = {
            "id": answer.request_id,
            "object": "list",
            "created": answer.created,
            "model": answer.model,
            "data": [
                {"index": index, "object": "score", "score": float(score)}
                for index, score in enumerate(answer.scores(ask))
            ],
            "usage": token_usage(answer),
        }
        return Reply(body, {})

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """The error for every client."""
        return problem.status, error_of(problem, request_id)
