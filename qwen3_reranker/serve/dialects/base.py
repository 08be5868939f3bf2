"""Dialect: one wire format. Templates of its replies give the JSON and its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from qwen3_reranker.serve.dialects.fields import RequestBody
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value of a reply: its type, and its function of the reply's source."""

    type: Any
    of: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class JsonOptional:
    """A part that a reply leaves out unless `when` is true of its source."""

    when: Callable[[Any], bool]
    part: Any


@dataclass(frozen=True, slots=True)
class JsonArray:
    """A list of parts: one for each source that `over` gives."""

    part: Any
    over: Callable[[Any], Iterable[Any]]


class JsonObject:
    """An object of a reply. Fields are parts, or constants. name and meaning: for the OpenAPI document."""

    def __init__(self, name: str, meaning: str, /, **fields: Any) -> None:
        self.name = name
        self.meaning = meaning
        self.fields = fields

    @cached_property
    def type(self) -> Any:
        """The object as a TypedDict."""
        return _typed_dict(self.name, self.meaning, tuple((name, type_of(part)) for name, part in self.fields.items()))

    @cached_property
    def write(self) -> Callable[[Any], dict[str, Any]]:
        """The function from a source to the object. It is made once, as a reply has a thousand rows."""
        steps: list[tuple[str, Callable[[Any], bool] | None, Callable[[Any], Any], str | None]] = []
        arrays: dict[int, str] = {}
        for name, part in self.fields.items():
            # A list that the object holds twice is computed once.
            earlier = arrays.setdefault(id(part), name) if isinstance(part, JsonArray) else name
            when = part.when if isinstance(part, JsonOptional) else None
            steps.append((name, when, _writer(part), earlier if earlier != name else None))

        def write(source: Any) -> dict[str, Any]:
            filled: dict[str, Any] = {}
            for name, when, write_part, earlier in steps:
                if earlier is not None:
                    filled[name] = filled[earlier]
                elif when is None or when(source):
                    filled[name] = write_part(source)
            return filled

        return write


@cache
def _typed_dict(name: str, meaning: str, fields: tuple[tuple[str, Any], ...]) -> Any:
    # Cached: two replies with the same object have one schema.
    made = cast(Any, TypedDict)(name, dict(fields))
    made.__doc__ = meaning
    return made


def fill(part: Any, source: Any) -> Any:
    """The JSON of a part of a reply."""
    return _writer(part)(source)


def _writer(part: Any) -> Callable[[Any], Any]:
    """The function from a source to the JSON of a part."""
    if isinstance(part, JsonValue):
        return part.of
    if isinstance(part, JsonObject):
        return part.write
    if isinstance(part, JsonOptional):
        return _writer(part.part)
    if isinstance(part, JsonArray):
        write, over = _writer(part.part), part.over
        return lambda source: list(map(write, over(source)))
    return lambda _source: part


def type_of(part: Any) -> Any:
    """The type of a part of a reply, as pydantic reads it."""
    if isinstance(part, JsonValue | JsonObject):
        return part.type
    if isinstance(part, JsonOptional):
        return NotRequired[type_of(part.part)]
    if isinstance(part, JsonArray):
        return list[type_of(part.part)]  # type: ignore[misc]
    return None if part is None else type(part)


@dataclass(slots=True)
class ScoredPair:
    """The source of a reply: request, result, and the index of a pair in rows."""

    request: ScoreRequest
    result: ScoreResult
    index: int = 0

    def best_first(self) -> Iterable[ScoredPair]:
        """The pairs of the reply, best first."""
        return (ScoredPair(self.request, self.result, index) for index in self.result.order)

    def in_order(self) -> Iterable[ScoredPair]:
        """All pairs, in the order of the request."""
        return (ScoredPair(self.request, self.result, index) for index in range(len(self.result.logits)))


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON body, and headers of the dialect."""

    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """The errors of a dialect: their type, and how to write them.

    write: a Problem and a request id -> status and body.
    """

    type: Any
    write: Callable[[Problem, str], tuple[int, Any]]


ERROR = JsonObject(
    "Error",
    "One error for every client: OpenAI's reads `error`, Cohere's `message`, Voyage's, Jina's and others' `detail`.",
    id=JsonValue(str, lambda source: source[1]),
    error=JsonObject(
        "ErrorFacts",
        "OpenAI's error.",
        message=JsonValue(str, lambda source: source[0].message),
        type=JsonValue(str, lambda source: source[0].kind),
        param=JsonValue(str | None, lambda source: source[0].parameter),
        code=JsonValue(str, lambda source: source[0].code),
    ),
    message=JsonValue(str, lambda source: source[0].message),
    detail=JsonValue(str, lambda source: source[0].message),
)
CANONICAL_ERROR = ErrorFormat(ERROR.type, lambda problem, id: (problem.status, fill(ERROR, (problem, id))))


def _no_headers(_request: ScoreRequest, _result: ScoreResult) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Dialect:
    """A wire format that clients score pairs with.

    request: the shape of its bodies. read: a body and the maximum number of pairs -> a ScoreRequest; raises Problem,
    with nothing of the body in it. reply: the template of its replies. paths: POST routes that speak it. shared: paths
    of another dialect -> whether a body there is of this one.
    """

    name: str
    request: type[RequestBody]
    read: Callable[[Mapping[str, Any], int], ScoreRequest]
    reply: JsonValue | JsonArray | JsonObject
    paths: tuple[str, ...]
    shared: Mapping[str, Callable[[Mapping[str, Any]], bool]] = field(default_factory=dict)
    headers: Callable[[ScoreRequest, ScoreResult], dict[str, str]] = _no_headers
    error: ErrorFormat = CANONICAL_ERROR

    def write(self, request: ScoreRequest, result: ScoreResult) -> Reply:
        """The reply to a request of this dialect."""
        return Reply(fill(self.reply, ScoredPair(request, result)), self.headers(request, result))


@dataclass(frozen=True, slots=True)
class DialectPath:
    """A POST path: its dialect, and others that it recognises by their body.

    `dialect` also writes the errors of bodies that cannot be read.
    """

    path: str
    dialect: Dialect
    others: tuple[Dialect, ...] = ()

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """All dialects of the path."""
        return (self.dialect, *self.others)

    def choose(self, body: Mapping[str, Any]) -> Dialect:
        """The dialect of a body."""
        for other in self.others:
            if other.shared[self.path](body):
                return other
        return self.dialect
