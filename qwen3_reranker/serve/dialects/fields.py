"""RequestBody: the fields of a JSON body, by all their names. Errors repeat nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, PrivateAttr, ValidationError
from pydantic import WithJsonSchema as Schema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from qwen3_reranker.prompt import is_blank
from qwen3_reranker.serve.dialects.document_text import text_of_parts
from qwen3_reranker.serve.problems import Problem, invalid

_TRUTHS = {"true": True, "True": True, "false": False, "False": False}


class RequestBody(BaseModel):
    """The fields of a body that are read. Other fields are ignored, and null means absent.

    spellings: all names of a field that has several, the usual one first. The first name in a body counts, but the
    values of all must be valid. unsupported: known fields without effect here, which give a warning; understood: fields
    that give none.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    unsupported: ClassVar[frozenset[str]] = frozenset()
    understood: ClassVar[frozenset[str]] = frozenset()
    _spelt: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """The fields of a parsed JSON object. Raises Problem for the first missing or invalid one."""
        present = {
            name: [spelling for spelling in cls._names(name) if body.get(spelling) is not None]
            for name in cls.model_fields
        }
        chosen = {name: spellings[0] for name, spellings in present.items() if spellings}
        read = cls._validated(body, chosen)
        for name, spellings in present.items():
            for other in spellings[1:]:
                cls._validated(body, {**chosen, name: other})
        return read

    @classmethod
    def _names(cls, name: str) -> tuple[str, ...]:
        return cls.spellings.get(name, (name,))

    @classmethod
    def example(cls) -> dict[str, Any] | None:
        """An example for the OpenAPI document, None for none."""
        return None

    @classmethod
    def _validated(cls, body: Mapping[str, Any], chosen: dict[str, str]) -> Self:
        try:
            read = cls.model_validate({name: body[spelling] for name, spelling in chosen.items()})
        except ValidationError as error:
            raise cls._problem(error, chosen) from None
        read._spelt.update(chosen)
        return read

    @classmethod
    def _problem(cls, error: ValidationError, chosen: Mapping[str, str]) -> Problem:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name, *rest = map(str, first["loc"])
        path = ".".join([chosen.get(name, cls._names(name)[0]), *rest])
        if first["type"] == "missing":
            return invalid("missing_required_parameter", f"`{path}` is required", path)
        # Messages of pydantic hold no input; those of our validators begin with "must", and their type is the code.
        ours = first["msg"].startswith("must ")
        message = first["msg"] if ours else first["msg"].replace("Input should be", "must be")
        return invalid(first["type"] if ours else "invalid_type", f"`{path}` {message}", path)

    def field(self, name: str) -> str:
        """The name of a field as the body spells it."""
        return self._spelt.get(name, self._names(name)[0])

    def warnings(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Fields that are ignored. Unknown ones are counted and not named, as their names may hold private text."""
        known = {spelling for name in type(self).model_fields for spelling in self._names(name)} | self.understood
        ignored = sorted(name for name in self.unsupported if body.get(name) is not None)
        unknown = sum(1 for name in body if name not in known and name not in self.unsupported)
        counted = (f"{unknown} field{'s' * (unknown > 1)} not known to this route: ignored",) if unknown else ()
        return (*(f"`{name}` is not supported: ignored" for name in ignored), *counted)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The OpenAPI schema: every spelling, and null where a field may be absent."""
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        required = set(schema.pop("required", ()))
        own = schema.pop("properties", {})
        schema["properties"] = {}
        for name, field in own.items():
            if field.get("default", ...) is None:
                del field["default"]
            shape = field if name in required or _nullable(field) else {"anyOf": [field, {"type": "null"}]}
            usual, *others = cls._names(name)
            schema["properties"][usual] = shape
            for other in others:
                schema["properties"][other] = {**shape, "description": f"Another name of `{usual}`."}
        alternatives = [[{"required": [spelling]} for spelling in cls._names(name)] for name in own if name in required]
        if plain := [choice[0]["required"][0] for choice in alternatives if len(choice) == 1]:
            schema["required"] = plain
        if several := [{"anyOf": choice} for choice in alternatives if len(choice) > 1]:
            schema["allOf"] = several
        if example := cls.example():
            schema["examples"] = [example]
        return reference


def _nullable(field: Mapping[str, Any]) -> bool:
    return {"type": "null"} in field.get("anyOf", ())


def wrong(code: str, message: str) -> PydanticCustomError:
    """The error of a field's validator. The message follows the field's name and begins with "must"."""
    assert message.startswith("must ")
    return PydanticCustomError(code, message)


def _flag(value: object) -> bool:
    truth = value if isinstance(value, bool) else _TRUTHS.get(value) if isinstance(value, str) else None
    if truth is None:
        raise wrong("invalid_type", "must be true or false")
    return truth


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or value < least:  # type: ignore[operator]
            raise wrong("invalid_value", f"must be a whole number, {least} or more")
        return int(value)  # type: ignore[call-overload,no-any-return]

    return read


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise wrong("invalid_value", "must be a number from 0 to 1")
    return float(value)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise wrong("invalid_value", "must be a number above 0, at most 1")
    return float(value)


def _query(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("text") or value.get("content")
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        try:
            value = text_of_parts(value, "query")
        except Problem as problem:
            raise wrong(problem.code, "must be text") from None
    if not isinstance(value, str):
        raise wrong("invalid_type", "must be a string")
    if is_blank(value):
        raise wrong("blank_query", "must not be blank")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise wrong("invalid_type", "must be a list")
    if not value:
        raise wrong("no_documents", "must hold at least one document")
    return value


def one_of(*choices: str) -> Callable[[object], str]:
    """A validator for a choice of words, in any case."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise wrong("invalid_value", "must be one of " + ", ".join(f'"{choice}"' for choice in choices))
        return value.lower()

    return read


def _spellings(words: Sequence[str]) -> list[str]:
    return [cased for word in words for cased in (word, word.capitalize(), word.upper())]


_TEXT_SCHEMA = {"type": "string", "pattern": r"\S"}
DOCUMENT_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "object"}]}

Flag = Annotated[
    bool, BeforeValidator(_flag), Schema({"anyOf": [{"type": "boolean"}, {"type": "string", "enum": list(_TRUTHS)}]})
]
Count = Annotated[int, BeforeValidator(_whole(0)), Schema({"type": "integer", "minimum": 0})]
Dimensions = Annotated[int, BeforeValidator(_whole(1)), Schema({"type": "integer", "minimum": 1})]
Probability = Annotated[float, BeforeValidator(_probability), Schema({"type": "number", "minimum": 0, "maximum": 1})]
Share = Annotated[float, BeforeValidator(_share), Schema({"type": "number", "exclusiveMinimum": 0, "maximum": 1})]
TokenBudget = Annotated[int, BeforeValidator(_whole(1)), Schema({"type": "integer", "minimum": 1})]
# vLLM's -1 means the model's maximum.
CountOrMax = Annotated[int, BeforeValidator(_whole(-1)), Schema({"type": "integer", "minimum": -1})]
Side = Annotated[
    str, BeforeValidator(one_of("left", "right")), Schema({"type": "string", "enum": _spellings(("left", "right"))})
]
Query = Annotated[
    str,
    BeforeValidator(_query),
    Schema(
        {
            "anyOf": [
                _TEXT_SCHEMA,
                {"type": "object", "properties": {"text": _TEXT_SCHEMA}, "required": ["text"]},
            ]
        }
    ),
]
Documents = Annotated[
    list[Any], BeforeValidator(_list), Schema({"type": "array", "minItems": 1, "items": DOCUMENT_SCHEMA})
]
