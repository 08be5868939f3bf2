"""OpenAI's Decisions API: a reranker answers its predicates, whether an input meets instructions.

Experimental: the API is a public beta, and the meaning of its messages for a reranker is our choice. Each question's
instructions are a query, the input is the document, and leading developer or system messages are the instruction.
The pydantic models below are only the schema; the functions after them read and check a body, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, SkipValidation

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


class TextPart(BaseModel):
    """A part of a text."""

    type: Literal["input_text", "output_text"]
    text: str


class JsonPart(BaseModel):
    """Records, which are scored as lines of `name: value`."""

    type: Literal["input_json"]
    data: dict[str, Any] | list[dict[str, Any]]


Content = str | list[TextPart | JsonPart]


class Message(BaseModel):
    """A message of the input."""

    role: Literal["user", "developer", "system", "assistant"]
    content: Content
    type: Literal["message"] = "message"


class StatementPart(TextPart):
    """A part of a statement."""

    text: str = Field(pattern=r"\S")


Statement = Annotated[str, Field(pattern=r"\S")] | Annotated[list[StatementPart | JsonPart], Field(min_length=1)]


class DecisionQuestion(BaseModel):
    """A statement about the input; its parts may not all be blank."""

    type: Literal["predicate"]
    instructions: Statement
    name: str | None = None


class DecisionsBody(RequestBody):
    """Questions about one input."""

    understood: ClassVar[frozenset[str]] = frozenset({"prompt_cache_key", "prompt_cache_options", "safety_identifier"})

    model: str | None = None
    input: SkipValidation[str | Annotated[list[Message], Field(min_length=1)]]
    questions: SkipValidation[Annotated[list[DecisionQuestion], Field(min_length=1, max_length=MAX_QUESTIONS)]]

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
