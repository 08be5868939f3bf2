"""POST /v1/explain: which sentences of a document answer, and carry its score; charged as a rerank request is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from starlette.requests import Request
from starlette.responses import Response

from qwen3_reranker.documents.sentences import MOST_SENTENCES
from qwen3_reranker.explanation import Explanation, SentenceTexts
from qwen3_reranker.records import DocumentScores
from qwen3_reranker.serve.admitted_request import open_request
from qwen3_reranker.serve.context import Context
from qwen3_reranker.serve.dialects.base import CANONICAL_ERROR, JsonArray, JsonObject, JsonOptional, JsonValue, fill
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_QUERY
from qwen3_reranker.serve.dialects.fields import Flag, Query, RequestBody, wrong
from qwen3_reranker.serve.middleware import state_of
from qwen3_reranker.serve.models import ServedReranker
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult
from qwen3_reranker.serve.routes.base import HttpEndpoint
from qwen3_reranker.serve.routes.rerank import dialect_errors, stages_of
from qwen3_reranker.serve.scoring import score

#: A document is held once for each of its sentences.
MAX_CHARACTERS = 1 << 17
MAX_INSTRUCTIONS = 8


def _document(value: object) -> str:
    if not isinstance(value, str):
        raise wrong("invalid_type", "must be a string")
    if len(value) > MAX_CHARACTERS:
        raise wrong("text_too_long", f"must have at most {MAX_CHARACTERS:,} characters")
    return value


def _instructions(value: object) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_INSTRUCTIONS:
        raise wrong("invalid_value", f"must be a list of 1 to {MAX_INSTRUCTIONS} instructions")
    if not all(isinstance(each, str) for each in value):
        raise wrong("invalid_type", "must hold strings")
    return value


class ExplainBody(RequestBody):
    """A document to explain the score of."""

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    query: Query = Field(description="What the document is judged by.")
    document: Annotated[str, BeforeValidator(_document), Schema({"type": "string", "maxLength": MAX_CHARACTERS})] = (
        Field(description="A text. It is scored whole, each sentence alone, and without each of its sentences.")
    )
    instruction: str | None = Field(None, description="What makes a document relevant; null for the model's own.")
    instructions: (
        Annotated[
            list[str],
            BeforeValidator(_instructions),
            Schema({"type": "array", "minItems": 1, "maxItems": MAX_INSTRUCTIONS, "items": {"type": "string"}}),
        ]
        | None
    ) = Field(None, description="In place of one: the document is explained under each. Blank is the model's own.")
    leave_out: Flag = Field(
        True, description="False for the sentences alone, at a fraction of the tokens; what they add is null then."
    )

    @property
    def asked_instructions(self) -> Sequence[str | None]:
        """All of them, the one or the several."""
        return (self.instruction,) if self.instructions is None else self.instructions

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A document of two sentences."""
        return {
            "query": EXAMPLE_QUERY,
            "document": "The sky was grey all morning. Drops of water part sunlight into its colours.",
        }


@dataclass(frozen=True, slots=True)
class ExplanationReply:
    """What a reply is made of: an explanation for each instruction, and the result of all their texts."""

    explanations: tuple[Explanation, ...]
    result: ScoreResult


def _value(type: Any, path: str) -> JsonValue:
    return JsonValue(type, attrgetter(path))


_EXPLAINED: dict[str, JsonValue | JsonArray] = {
    "instruction": _value(str | None, "instruction"),
    "logit": _value(float, "logit"),
    "probability": _value(float, "probability"),
    "document_tokens": _value(int, "receipt.document_tokens"),
    "kept_document_tokens": _value(int, "receipt.kept_tokens"),
    "sentences": JsonArray(
        JsonObject(
            "ExplainedSentence",
            "A sentence. start, end: its characters in the document, with the white space after it. alone: its logit "
            "as a document of its own. contribution: what the document's logit loses without it, which is logit less "
            "logit_without; null where none was left out. is_read: false where the document was cut before it.",
            start=_value(int, "start"),
            end=_value(int, "end"),
            text=_value(str, "text"),
            alone=_value(float, "alone"),
            logit_without=_value(float | None, "logit_without"),
            contribution=_value(float | None, "contribution"),
            is_read=_value(bool, "is_read"),
        ),
        attrgetter("sentences"),
    ),
}
_REPLY = {
    "id": _value(str, "result.request_id"),
    "model": _value(str, "result.model"),
    "usage": JsonObject(
        "ExplanationUsage",
        "Tokens of the document, of each sentence, and of the document without each, which are charged.",
        prompt_tokens=_value(int, "result.usage.prompt_tokens"),
        computed_tokens=_value(int, "result.usage.computed_tokens"),
        total_tokens=_value(int, "result.usage.prompt_tokens"),
        cost=JsonOptional(
            lambda reply: reply.result.cost is not None, JsonValue(float, lambda reply: float(reply.result.cost))
        ),
    ),
}


def _of_first(part: JsonValue | JsonArray) -> JsonValue | JsonArray:
    """The same part of the first explanation."""
    if isinstance(part, JsonArray):
        return JsonArray(part.part, lambda reply: part.over(reply.explanations[0]))
    return JsonValue(part.type, lambda reply: part.of(reply.explanations[0]))


EXPLANATION = JsonObject(
    "Explanation",
    "What each sentence scores alone, and adds to the document's logit.",
    **_REPLY,
    **{name: _of_first(part) for name, part in _EXPLAINED.items()},
)
EXPLANATIONS = JsonObject(
    "Explanations",
    "The same for each of several instructions.",
    **_REPLY,
    explanations=JsonArray(
        JsonObject("InstructedExplanation", "The explanation under one instruction.", **_EXPLAINED),
        attrgetter("explanations"),
    ),
)


def explain_endpoints(context: Context) -> Iterator[HttpEndpoint]:
    """The endpoint that explains a score."""

    async def answer(request: Request) -> Response:
        state = state_of(request)
        state.error_format = CANONICAL_ERROR
        async with open_request(request, context, "rerank") as admitted:

            async def answered(body: dict[str, Any], _warnings: tuple[str, ...]) -> Response:
                asked = await admitted.run("read", lambda: ExplainBody.of(body))
                instructions = [each if each and each.strip() else None for each in asked.asked_instructions]
                # As many texts as a request may hold documents, the whole one under each instruction among them.
                texts_each = context.settings.max_documents // len(instructions) - 1
                most = max(1, min(MOST_SENTENCES, texts_each // (2 if asked.leave_out else 1)))
                parts = await admitted.run(
                    "read", lambda: SentenceTexts.of(asked.document, most, leave_out=asked.leave_out)
                )
                model = context.models.reranker(asked.model or None)
                state.use_model(model.id)
                texts = parts.texts * len(instructions)
                pairs = ScoreRequest(
                    [asked.query] * len(texts),
                    texts,
                    model.id,
                    documents_field="document",
                    instructions=[each for each in instructions for _ in parts.texts],
                )
                result = await score(pairs, model, admitted)
                state.log_fields |= stages_of(result)
                explained = tuple(
                    parts.explanation(asked.query, instruction, scores)
                    for instruction, scores in zip(instructions, _scores(result, model, instructions), strict=True)
                )
                template = EXPLANATION if asked.instructions is None else EXPLANATIONS
                calibrated = [model.judge.is_calibrated(each) for each in instructions]
                headers = {} if None in calibrated else {"x-calibrated": str(all(calibrated)).lower()}
                return await admitted.respond(lambda: fill(template, ExplanationReply(explained, result)), headers)

            return await admitted.answer(answered)

    yield HttpEndpoint(
        "POST",
        "/v1/explain",
        answer,
        "Which sentences of a document carry its score",
        "explain",
        requests=(ExplainBody,),
        replies=(EXPLANATION.type, EXPLANATIONS.type),
        errors=dialect_errors(CANONICAL_ERROR),
    )


def _scores(result: ScoreResult, model: ServedReranker, instructions: Sequence[str | None]) -> Iterator[DocumentScores]:
    """The scores of the texts under each instruction, as many under one as under another."""
    count = len(result.logits) // len(instructions)
    for number, instruction in enumerate(instructions):
        part = slice(number * count, (number + 1) * count)
        logits_N = np.array(result.logits[part], np.float32)
        probabilities_N = model.judge.probabilities(logits_N, instruction)
        yield DocumentScores(logits_N, probabilities_N, tuple(result.receipts[part]), result.usage)
