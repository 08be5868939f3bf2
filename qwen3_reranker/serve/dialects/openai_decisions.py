"""OpenAI's Decisions API: a reranker answers its predicates, whether an input meets instructions.

Experimental: the API is a public beta, and the meaning of its messages for a reranker is our choice. Each question's
instructions are a query, the input is the document, and leading developer or system messages are the instruction.
The functions below read and check a body in one pass; the schema is only for the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, ClassVar

from pydantic import WithJsonSchema as Schema

from qwen3_reranker.prompt import is_blank
from qwen3_reranker.serve.dialects.base import Dialect, JsonArray, JsonObject, ScoredPair
from qwen3_reranker.serve.dialects.bodies import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY
from qwen3_reranker.serve.dialects.document_text import as_line, lines, text_of_parts
from qwen3_reranker.serve.dialects.fields import RequestBody
from qwen3_reranker.serve.dialects.reply_parts import MODEL, NAME, PROBABILITY, PROMPT_TOKENS
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.protocol import ScoreRequest

MAX_QUESTIONS = 400
_INSTRUCTING = ("developer", "system")
_ROLES = (*_INSTRUCTING, "user", "assistant")


def _object(optional: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": fields, "required": required}


def _content(**text: Any) -> list[dict[str, Any]]:
    """The schema of a text, or of its parts."""
    data = {"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    parts = [
        _object(type={"enum": ["input_text", "output_text"]}, text={"type": "string", **text}),
        _object(type={"const": "input_json"}, data=data),
    ]
    return [{"type": "string", **text}, {"type": "array", "items": {"anyOf": parts}}]


_STRING, _PARTS = _content(pattern=r"\S")
_QUESTION = _object(
    optional=("name",),
    type={"const": "predicate"},
    instructions={"anyOf": [_STRING, {**_PARTS, "minItems": 1}]},
    name={"anyOf": [{"type": "string"}, {"type": "null"}]},
)
_MESSAGE = _object(
    optional=("type",), role={"enum": list(_ROLES)}, content={"anyOf": _content()}, type={"const": "message"}
)
_MESSAGES = {"type": "array", "minItems": 1, "items": _MESSAGE}


class DecisionsBody(RequestBody):
    """Questions about one input."""

    understood: ClassVar[frozenset[str]] = frozenset({"prompt_cache_key", "prompt_cache_options", "safety_identifier"})

    model: str | None = None
    input: Annotated[Any, Schema({"anyOf": [{"type": "string"}, _MESSAGES]})]
    questions: Annotated[Any, Schema({"type": "array", "minItems": 1, "maxItems": MAX_QUESTIONS, "items": _QUESTION})]

    @classmethod
    def example(cls) -> dict[str, Any]:
        """One question about one text."""
        question = {"type": "predicate", "name": "rainbows", "instructions": EXAMPLE_QUERY}
        return {"input": EXAMPLE_DOCUMENTS[0], "questions": [question]}


def _read_decisions(body: Mapping[str, Any], _max_pairs: int) -> ScoreRequest:
    read = DecisionsBody.of(body)
    questions = _questions(read.questions)
    instruction, document = _input(read.input)
    return ScoreRequest(
        queries=[_statement(question, f"questions.{number}.instructions") for number, question in enumerate(questions)],
        documents=(document,) * len(questions),
        model=read.model or None,
        instruction=instruction or None,
        echoes=[question.get("name") for question in questions],
        warnings=read.warnings(body),
    )


def _questions(questions: object) -> list[Mapping[str, Any]]:
    if not isinstance(questions, list) or not 1 <= len(questions) <= MAX_QUESTIONS:
        raise invalid("invalid_value", f"`questions` must be a list of 1 to {MAX_QUESTIONS} questions", "questions")
    for number, question in enumerate(questions):
        path = f"questions.{number}"
        if not isinstance(question, Mapping):
            raise invalid("invalid_type", f"`{path}` must be an object", path)
        if question.get("type") != "predicate":
            path += ".type"
            raise invalid(
                "unsupported_question_type", f'`{path}` must be "predicate", the one type that is judged', path
            )
        if not isinstance(question.get("name"), str | None):
            raise invalid("invalid_type", f"`{path}.name` must be a string", f"{path}.name")
    return questions


def _statement(question: Mapping[str, Any], path: str) -> str:
    text = _text(question.get("instructions"), path)
    if is_blank(text):
        raise invalid("blank_query", f"`{path}` must not be blank", path)
    return text


def _input(given: object) -> tuple[str, str]:
    """Instruction and document: the leading developer and system messages, and all others."""
    if isinstance(given, str):
        return "", given
    if not isinstance(given, list) or not given:
        raise invalid("invalid_type", "`input` must be a string or a list of messages", "input")
    for number, message in enumerate(given):
        path = f"input.{number}"
        if not isinstance(message, Mapping):
            raise invalid("invalid_type", f"`{path}` must be an object", path)
        if message.get("type", "message") != "message":
            raise invalid("unsupported_input", f"`{path}` must be a message: nothing else is read", path)
        if message.get("role") not in _ROLES:
            raise invalid("invalid_value", f"`{path}.role` must be one of {', '.join(_ROLES)}", f"{path}.role")
    texts = [_text(message.get("content"), f"input.{number}.content") for number, message in enumerate(given)]
    leading = len(list(takewhile(lambda message: message["role"] in _INSTRUCTING, given)))
    return "\n".join(texts[:leading]).strip(), "\n".join(texts[leading:])


def _text(content: object, path: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise invalid("invalid_type", f"`{path}` must be a string or a list of parts", path)
    return text_of_parts([_rendered(part) for part in content], path)


def _rendered(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON part as a text part; other parts unchanged."""
    data = part.get("data")
    if part.get("type") != "input_json" or not isinstance(data, Mapping | list):
        return part
    records: Sequence[Any] = data if isinstance(data, list) else [data]
    texts = [lines(record) if isinstance(record, Mapping) else as_line(record) for record in records]
    return {"type": "input_text", "text": "\n\n".join(texts)}


OPENAI_DECISIONS = Dialect(
    "openai-decisions",
    DecisionsBody,
    _read_decisions,
    JsonObject(
        "Decision",
        "Answers in the order of the questions.",
        model=MODEL,
        answers=JsonArray(
            JsonObject(
                "Predicate",
                "The probability that the input meets the question's instructions.",
                type="predicate",
                name=NAME,
                probability=PROBABILITY,
            ),
            ScoredPair.in_order,
        ),
        usage=JsonObject(
            "DecisionUsage",
            "Tokens of all pairs as separate rows.",
            input_tokens=PROMPT_TOKENS,
            input_tokens_details=JsonObject(
                "InputDetails", "Cached tokens cost as much as others.", cached_tokens=0, cache_write_tokens=0
            ),
            output_tokens=0,
            output_tokens_details=JsonObject("OutputDetails", "Nothing is generated.", reasoning_tokens=0),
            total_tokens=PROMPT_TOKENS,
        ),
    ),
    paths=("/v1/decisions",),
)
