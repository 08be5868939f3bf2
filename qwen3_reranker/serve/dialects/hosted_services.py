"""Services that others host: ZeroEntropy, Pinecone, DeepInfra and Google's Vertex AI, for clients that accept a URL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from qwen3_reranker.serve.dialects.base import Dialect, JsonArray, JsonObject, JsonOptional, JsonValue, ScoredPair
from qwen3_reranker.serve.dialects.bodies import (
    EXAMPLE_DOCUMENTS,
    EXAMPLE_QUERY,
    EchoingBody,
    RerankBody,
    read_nested,
    renamed,
)
from qwen3_reranker.serve.dialects.fields import Flag
from qwen3_reranker.serve.dialects.reply_parts import (
    DOCUMENT,
    ID,
    INDEX,
    MODEL,
    PROMPT_TOKENS,
    RESULTS,
    SCORE,
    SEARCH_UNITS,
    SECONDS,
)
from qwen3_reranker.serve.dialects.vllm import ScoreBody
from qwen3_reranker.serve.protocol import ScoreRequest

_IDS_ONLY = "ids only"

ZEROENTROPY = Dialect(
    "zeroentropy",
    RerankBody,
    RerankBody.read,
    JsonObject(
        "ZeroEntropyRanked",
        "Results, best first.",
        results=RESULTS,
        total_bytes=JsonValue(
            int,
            lambda pair: sum(len(text.encode()) for text in (pair.request.queries[0], *pair.request.documents)),
        ),
        total_tokens=PROMPT_TOKENS,
        actual_latency_mode="fast",
        e2e_latency=SECONDS,
        inference_latency=JsonValue(float, lambda pair: pair.result.seconds.computing),
    ),
    paths=("/v1/models/rerank",),
)


class PineconeBody(EchoingBody):
    """The same fields, and those of `parameters`."""

    parameters: dict[str, Any] | None = Field(None, description="Further fields, such as `truncate`.")


PINECONE = Dialect(
    "pinecone",
    PineconeBody,
    partial(read_nested, read=EchoingBody.read),
    JsonObject(
        "PineconeRanked",
        "Results, best first.",
        model=MODEL,
        data=JsonArray(
            JsonObject("PineconeResult", "One document's score.", index=INDEX, score=SCORE, document=DOCUMENT),
            ScoredPair.best_first,
        ),
        usage=JsonObject("RerankUnits", "Pinecone's units.", rerank_units=SEARCH_UNITS),
    ),
    paths=("/pinecone/rerank",),
)

_DEEPINFRA_BODY = renamed(
    ScoreBody,
    "DeepInfraBody",
    "One query for all documents, or one for each.",
    queries="queries query text_1 data_1",
    documents="documents items text_2 data_2",
)
DEEPINFRA = Dialect(
    "deepinfra",
    _DEEPINFRA_BODY,
    _DEEPINFRA_BODY.read,
    JsonObject(
        "DeepInfraScored",
        "Scores in the order of the pairs.",
        scores=JsonArray(SCORE, ScoredPair.in_order),
        input_tokens=PROMPT_TOKENS,
        request_id=ID,
        inference_status=JsonObject(
            "InferenceStatus",
            "cost: US dollars, 0 where the model has no price.",
            status="succeeded",
            runtime_ms=JsonValue(int, lambda pair: round(pair.result.seconds.total * 1000)),
            cost=JsonValue(float, lambda pair: float(pair.result.cost or 0)),
            tokens_generated=0,
            tokens_input=PROMPT_TOKENS,
        ),
    ),
    paths=("/v1/inference/{model:path}",),
)


class VertexBody(RerankBody):
    """Records with `title` and `content`."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **RerankBody.spellings,
        "documents": ("records", *RerankBody.spellings["documents"]),
        "top_n": ("topN", *RerankBody.spellings["top_n"]),
        "ids_only": ("ignoreRecordDetailsInResponse",),
    }

    ids_only: Flag = Field(False, description="Give only the id and the score of each record.")
    rank_fields: list[str] | None = Field(
        ["title", "content", "text"], description="The fields of a record to score, in that order."
    )

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two records."""
        records = [{"id": str(number), "content": text} for number, text in enumerate(EXAMPLE_DOCUMENTS)]
        return {"query": EXAMPLE_QUERY, "records": records, "topN": 2}

    @property
    def form(self) -> str:
        """The variant of the reply."""
        return _IDS_ONLY if self.ids_only else ""


def _read_vertex(body: Mapping[str, Any], max_documents: int) -> ScoreRequest:
    # The reply needs the ids, which stand in the echoes.
    return VertexBody.read({**body, "return_documents": True}, max_documents)


def _detail(name: str) -> JsonOptional:
    return JsonOptional(
        lambda pair: pair.request.form != _IDS_ONLY and isinstance(pair.request.echoes[pair.index].get(name), str),
        JsonValue(str, lambda pair: pair.request.echoes[pair.index][name]),
    )


VERTEX = Dialect(
    "vertex",
    VertexBody,
    _read_vertex,
    JsonObject(
        "VertexRanked",
        "Records, best first.",
        records=JsonArray(
            JsonObject(
                "VertexRecord",
                "A record and its score; a record without an id has its index.",
                id=JsonValue(str, lambda pair: str(pair.request.echoes[pair.index].get("id", pair.index))),
                title=_detail("title"),
                content=_detail("content"),
                score=SCORE,
            ),
            ScoredPair.best_first,
        ),
    ),
    paths=("/v1/projects/{project}/locations/{location}/rankingConfigs/{config}:rank",),
)
