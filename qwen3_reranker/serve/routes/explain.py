"""POST /v1/explain: which sentences of a document carry its score. It is scored and charged as a rerank request is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.documents.sentences import MOST_SENTENCES
from qwen3_reranker.explanation import SentenceTexts
from qwen3_reranker.records import DocumentScores
from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR, JsonArray, JsonObject, JsonOptional, JsonValue, fill
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_QUERY
from qwen3_reranker.serve.dialects.fields import Query, RequestBody, wrong
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors, stages_of
from qwen3_reranker.serve.scoring import score

#: A document is held once for each of its sentences.
MAX_CHARACTERS = 1 << 17


def _document(value: object) -> str:
    if not isinstance(value, str):
        raise wrong("invalid_type", "must be a string")
    if len(value) > MAX_CHARACTERS:
        raise wrong("text_too_long", f"must have at most {MAX_CHARACTERS:,} characters")
    return value


class ExplainBody(RequestBody):
    """A document to explain the score of."""

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    query: Query = Field(description="What the document is judged by.")
    document: Annotated[str, BeforeValidator(_document), Schema({"type": "string", "maxLength": MAX_CHARACTERS})] = (
        Field(description="A text. It is scored whole, and without each of its sentences.")
    )
    instruction: str | None = Field(None, description="What makes a document relevant; null for the model's own.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A document of two sentences."""
        return {
            "query": EXAMPLE_QUERY,
            "document": "The sky was grey all morning. Drops of water part sunlight into its colours.",
        }


EXPLANATION = JsonObject(
    "Explanation",
    "What each sentence adds to the document's logit, which is what the logit loses without it. start, end: its "
    "characters in the document, with the white space after it.",
    id=JsonValue(str, lambda pair: pair[1].request_id),
    model=JsonValue(str, lambda pair: pair[1].model),
    logit=JsonValue(float, lambda pair: pair[0].logit),
    probability=JsonValue(float, lambda pair: pair[0].probability),
    document_tokens=JsonValue(int, lambda pair: pair[0].receipt.document_tokens),
    kept_document_tokens=JsonValue(int, lambda pair: pair[0].receipt.kept_tokens),
    sentences=JsonArray(
        JsonObject(
            "ExplainedSentence",
            "A sentence. is_read: false where the document was cut before it.",
            start=JsonValue(int, lambda sentence: sentence.start),
            end=JsonValue(int, lambda sentence: sentence.end),
            text=JsonValue(str, lambda sentence: sentence.text),
            logit_without=JsonValue(float, lambda sentence: sentence.logit_without),
            contribution=JsonValue(float, lambda sentence: sentence.contribution),
            is_read=JsonValue(bool, lambda sentence: sentence.is_read),
        ),
        lambda pair: pair[0].sentences,
    ),
    usage=JsonObject(
        "ExplanationUsage",
        "Tokens of the document and of the document without each sentence, which are charged.",
        prompt_tokens=JsonValue(int, lambda pair: pair[1].usage.prompt_tokens),
        computed_tokens=JsonValue(int, lambda pair: pair[1].usage.computed_tokens),
        total_tokens=JsonValue(int, lambda pair: pair[1].usage.prompt_tokens),
        cost=JsonOptional(
            lambda pair: pair[1].cost is not None, JsonValue(float, lambda pair: float(pair[1].cost or 0))
        ),
    ),
)


def explain_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """The endpoint that explains a score."""

    async def answer(request: Request) -> Response:
        state = state_of(request)
        state.error_format = CANONICAL_ERROR
        # As many texts as a request may hold documents, the whole one among them.
        most = max(1, min(MOST_SENTENCES, context.settings.max_documents - 1))
        async with open_request(request, context, "rerank") as admitted:

            async def answered(body: dict[str, Any], _warnings: tuple[str, ...]) -> Response:
                asked = await admitted.run("read", lambda: ExplainBody.of(body))
                parts = await admitted.run("read", lambda: SentenceTexts.of(asked.document, most))
                model = context.models.reranker(asked.model or None)
                state.use_model(model.id)
                instruction = asked.instruction if asked.instruction and asked.instruction.strip() else None
                texts = parts.texts
                pairs = ScoreRequest(
                    [asked.query] * len(texts), texts, model.id, instruction, documents_field="document"
                )
                result = await score(pairs, model, admitted)
                state.log_fields |= stages_of(result)
                explanation = parts.explanation(asked.query, instruction, _scores(result))
                return await admitted.respond(lambda: fill(EXPLANATION, (explanation, result)))

            return await admitted.answer(answered)

    yield HttpEndpoint(
        "POST",
        "/v1/explain",
        answer,
        "Which sentences of a document carry its score",
        "explain",
        requests=(ExplainBody,),
        replies=(EXPLANATION.type,),
        errors=dialect_errors(CANONICAL_ERROR),
    )


def _scores(result: ScoreResult) -> DocumentScores:
    logits_N, probabilities_N = (np.array(each, np.float32) for each in (result.logits, result.probabilities))
    return DocumentScores(logits_N, probabilities_N, tuple(result.receipts), result.usage)
