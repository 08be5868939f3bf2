"""OpenAI's Decisions API, of which a reranker answers the predicates: how likely does the input meet the instructions?

Experimental: the API is a public beta, and what its messages mean to a reranker is our reading. Each question's
instructions are a query, the input is the document, and leading developer or system messages are the instruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, SkipValidation
from typing_extensions import TypedDict

from qwen3_reranker.prompt import is_blank
from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.fields import Body
from qwen3_reranker.serve.dialects.rerank import EXAMPLE_DOCUMENTS, EXAMPLE_QUERY, Error, error_of
from qwen3_reranker.serve.documents import as_line, lines, text_of_parts
from qwen3_reranker.serve.problems import Problem, invalid

MAX_QUESTIONS = 400
_INSTRUCTING = ("developer", "system")
_ROLES = (*_INSTRUCTING, "user", "assistant")


class TextPart(BaseModel):
    """A part of a text."""

    type: Literal["input_text", "output_text"]
    text: str


class JsonPart(BaseModel):
    """Facts, which are judged as lines of `name: value`."""

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


class Question(BaseModel):
    """A statement about the input; all of its parts may not be blank."""

    type: Literal["predicate"]
    instructions: Statement
    name: str | None = None


class DecisionsBody(Body):
    """Questions about one input."""

    understood: ClassVar[frozenset[str]] = frozenset({"prompt_cache_key", "prompt_cache_options", "safety_identifier"})

    model: str | None = None
    input: SkipValidation[str | Annotated[list[Message], Field(min_length=1)]]
    questions: SkipValidation[Annotated[list[Question], Field(min_length=1, max_length=MAX_QUESTIONS)]]

    @classmethod
    def example(cls) -> dict[str, Any]:
        """One question about one text."""
        question = {"type": "predicate", "name": "rainbows", "instructions": EXAMPLE_QUERY}
        return {"input": EXAMPLE_DOCUMENTS[0], "questions": [question]}


class Predicate(TypedDict):
    """How likely it is that the input meets the question's instructions."""

    type: str
    name: str | None
    probability: float


class InputDetails(TypedDict):
    """Nothing is charged less for being known."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(TypedDict):
    """Nothing is written."""

    reasoning_tokens: int


class DecisionUsage(TypedDict):
    """Tokens as separate rows would hold them."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Decision(TypedDict):
    """Answers in the order of the questions."""

    model: str
    answers: list[Predicate]
    usage: DecisionUsage


class OpenAIDecisions:
    """/v1/decisions."""

    name = "openai-decisions"
    request = DecisionsBody
    response: Any = Decision
    error: Any = Error

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for. Raises Problem."""
        asked = DecisionsBody.of(body)
        questions = _questions(asked.questions)
        instruction, document = _input(asked.input)
        return Ask(
            queries=[
                _statement(question, f"questions.{number}.instructions") for number, question in enumerate(questions)
            ],
            documents=(document,) * len(questions),
            model=asked.model or None,
            instruction=instruction or None,
            echoes=[question.get("name") for question in questions],
            warnings=asked.warnings(body),
        )

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Answers in the order of the questions."""
        names, tokens = ask.echoes or (), answer.spent.prompt_tokens
        body: Decision = {
            "model": answer.model,
            "answers": [
                {"type": "predicate", "name": name, "probability": float(probability)}
                for name, probability in zip(names, answer.probabilities, strict=True)
            ],
            "usage": {
                "input_tokens": tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": tokens,
            },
        }
        return Reply(body, {})

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """The error for every client."""
        return problem.status, error_of(problem, request_id)


def _questions(questions: object) -> list[Mapping[str, Any]]:
    if not isinstance(questions, list) or not 1 <= len(questions) <= MAX_QUESTIONS:
        raise invalid("invalid_value", f"`questions` must be a list of 1 to {MAX_QUESTIONS} questions", "questions")
    for number, question in enumerate(questions):
        place = f"questions.{number}"
        if not isinstance(question, Mapping):
            raise invalid("invalid_type", f"`{place}` must be an object", place)
        if question.get("type") != "predicate":
            place += ".type"
            raise invalid(
                "unsupported_question_type", f'`{place}` must be "predicate", the one type that is judged', place
            )
        if not isinstance(question.get("name"), str | None):
            raise invalid("invalid_type", f"`{place}.name` must be a string", f"{place}.name")
    return questions


def _statement(question: Mapping[str, Any], place: str) -> str:
    text = _text(question.get("instructions"), place)
    if is_blank(text):
        raise invalid("blank_query", f"`{place}` must not be blank", place)
    return text


def _input(given: object) -> tuple[str, str]:
    """Instruction and document: what leads as developer or system, and all that follows."""
    if isinstance(given, str):
        return "", given
    if not isinstance(given, list) or not given:
        raise invalid("invalid_type", "`input` must be a string or a list of messages", "input")
    for number, message in enumerate(given):
        place = f"input.{number}"
        if not isinstance(message, Mapping):
            raise invalid("invalid_type", f"`{place}` must be an object", place)
        if message.get("type", "message") != "message":
            raise invalid("unsupported_input", f"`{place}` must be a message: nothing else is read", place)
        if message.get("role") not in _ROLES:
            raise invalid("invalid_value", f"`{place}.role` must be one of {', '.join(_ROLES)}", f"{place}.role")
    texts = [_text(message.get("content"), f"input.{number}.content") for number, message in enumerate(given)]
    leading = len(list(takewhile(lambda message: message["role"] in _INSTRUCTING, given)))
    return "\n".join(texts[:leading]).strip(), "\n".join(texts[leading:])


def _text(content: object, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise invalid("invalid_type", f"`{place}` must be a string or a list of parts", place)
    return text_of_parts([_rendered(part) for part in content], place)


def _rendered(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of facts as a part of text; any other as it is."""
    data = part.get("data")
    if part.get("type") != "input_json" or not isinstance(data, Mapping | list):
        return part
    records: Sequence[Any] = data if isinstance(data, list) else [data]
    texts = [lines(record) if isinstance(record, Mapping) else as_line(record) for record in records]
    return {"type": "input_text", "text": "\n\n".join(texts)}
