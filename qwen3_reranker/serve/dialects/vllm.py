"""vLLM's /rerank, with documents, and /score, in the order of the pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.serve.dialects.base import Dialect, JsonArray, JsonObject, ScoredPair
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY, EchoingBody, Options
from qwen3_reranker.serve.dialects.document_text import text_of
from qwen3_reranker.serve.dialects.fields import DOCUMENT_SCHEMA, wrong
from qwen3_reranker.serve.dialects.reply_parts import CREATED, ID, INDEX, MODEL, RESULTS, SCORE, TOKEN_USAGE
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.protocol import ScoreRequest


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
    documents: Texts = Field(description="What is scored.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents."""
        return {cls._names("queries")[0]: EXAMPLE_QUERY, cls._names("documents")[0]: list(EXAMPLE_DOCUMENTS)}

    @classmethod
    def read(cls, body: Mapping[str, Any], max_pairs: int) -> ScoreRequest:
        """The request of a body."""
        read = cls.of(body)
        queries, documents = read.queries, read.documents
        if len(queries) not in (1, len(documents)):
            field = read.field("queries")
            raise invalid("invalid_value", f"`{field}` must hold one text, or as many as there are documents", field)
        if len(documents) > max_pairs:
            field = read.field("documents")
            raise invalid("too_many_documents", f"`{field}` must hold at most {max_pairs} texts", field)
        queries = queries * len(documents) if len(queries) == 1 else queries
        return ScoreRequest(queries=queries, documents=documents, **read.options(body))


# vLLM's own server has no option to leave documents out.
VLLM = Dialect(
    "vllm",
    EchoingBody,
    EchoingBody.read,
    JsonObject("VLLMRanked", "Results, best first.", id=ID, model=MODEL, usage=TOKEN_USAGE, results=RESULTS),
    paths=("/vllm/rerank", "/vllm/v1/rerank", "/vllm/v2/rerank"),
)
VLLM_SCORE = Dialect(
    "vllm-score",
    ScoreBody,
    ScoreBody.read,
    JsonObject(
        "Scored",
        "Scores in the order of the pairs.",
        id=ID,
        object="list",
        created=CREATED,
        model=MODEL,
        data=JsonArray(
            JsonObject("Score", "One pair's score.", index=INDEX, object="score", score=SCORE), ScoredPair.in_order
        ),
        usage=TOKEN_USAGE,
    ),
    paths=("/score", "/v1/score", "/vllm/score", "/vllm/v1/score"),
)
