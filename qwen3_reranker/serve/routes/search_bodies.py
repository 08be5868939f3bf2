"""The body of a search, and its reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.errors import InputError
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.selection_options import SelectionOptions
from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonOptional, JsonValue
from qwen3_reranker.serve.dialects.fields import Flag, Probability, RequestBody, Share, TokenBudget, wrong
from qwen3_reranker.serve.problems import invalid
from qwen3_reranker.serve.protocol import SearchRequest

_MAX_LIMIT = 100
_MAX_CHARACTERS = 10_000
_MAX_PATTERN = 500
_MAX_NAMES = 100
#: Seconds of a search that names none.
_DEFAULT_BUDGET = 5.0


def _text(most: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise wrong("invalid_value", "must be a string that is not blank")
        if len(value) > most:
            raise wrong("text_too_long", f"must have at most {most:,} characters")
        return value

    return read


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_LIMIT:
        raise wrong("invalid_value", f"must be a whole number from 1 to {_MAX_LIMIT}")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise wrong("invalid_value", "must be a number of seconds above 0")
    return float(min(value, 1e9))


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _MAX_NAMES or not all(isinstance(name, str) for name in value):
        raise wrong("invalid_value", f"must be a list of at most {_MAX_NAMES} names")
    return value


def _date(value: object) -> str:
    try:
        Filters(after=value if isinstance(value, str) else "").sql()
    except InputError:
        raise wrong("invalid_value", "must be a date such as 2026-11-30") from None
    return str(value)


def _fields(value: object) -> dict[str, str]:
    if (
        not isinstance(value, Mapping)
        or len(value) > _MAX_NAMES
        or not all(isinstance(each, str) for each in value.values())
    ):
        raise wrong("invalid_value", f"must be an object of at most {_MAX_NAMES} fields, whose values are strings")
    try:
        Filters(fields=tuple(value.items())).sql()
    except InputError:
        raise wrong("invalid_value", "must name fields with letters, digits, spaces, dots, dashes or _") from None
    return dict(value)


def _text_schema(most: int) -> Schema:
    return Schema({"type": "string", "pattern": r"\S", "maxLength": most})


_Text = Annotated[str, BeforeValidator(_text(_MAX_CHARACTERS)), _text_schema(_MAX_CHARACTERS)]
_Pattern = Annotated[str, BeforeValidator(_text(_MAX_PATTERN)), _text_schema(_MAX_PATTERN)]
_Date = Annotated[str, BeforeValidator(_date), Schema({"type": "string", "format": "date"})]


class SearchBody(RequestBody):
    """A search of the server's index. A field that is not one of these is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: _Text = Field(description="A question, or words to find, in any language.")
    limit: Annotated[int, BeforeValidator(_limit), Schema({"type": "integer", "minimum": 1, "maximum": _MAX_LIMIT})] = (
        Field(10, description="Documents at most.")
    )
    budget_seconds: Annotated[float, BeforeValidator(_seconds), Schema({"type": "number", "exclusiveMinimum": 0})] = (
        Field(_DEFAULT_BUDGET, description="Answer within this time, with what is judged by then.")
    )
    fold: Share | None = Field(
        None, description="Fold a passage into a better one if they share this much of their runs of four characters."
    )
    diversity: Probability | None = Field(
        None, description="Choose passages that differ: likeness to one already chosen counts so much."
    )
    fit: TokenBudget | None = Field(
        None, description="Choose the best passages that have at most so many of the model's tokens together."
    )
    rerank: Flag = Field(True, description="Judge the candidates; false for the order of the first stage.")
    instruction: _Text | None = Field(None, description="What makes a document relevant; null for the model's own.")
    collections: (
        Annotated[
            list[str],
            BeforeValidator(_names),
            Schema({"type": "array", "maxItems": _MAX_NAMES, "items": {"type": "string"}}),
        ]
        | None
    ) = Field(None, description="Search only these.")
    path: _Pattern | None = Field(None, description="Only files with a path like docs/*.md; * also matches /.")
    after: _Date | None = Field(None, description="Only documents of this day or later, such as 2026-11-30.")
    before: _Date | None = Field(None, description="Only documents before this day.")
    where: Annotated[
        dict[str, str],
        BeforeValidator(_fields),
        Schema(
            {
                "type": "object",
                "maxProperties": _MAX_NAMES,
                "propertyNames": {"pattern": r"^[A-Za-z_][A-Za-z0-9_ .-]*$"},
                "additionalProperties": {"type": "string"},
            }
        ),
    ] = Field({}, description="Only documents with these values in their front matter or record.")

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """The fields of a parsed JSON object. Raises Problem, also for a field that is unknown."""
        if body.keys() - cls.model_fields.keys():
            raise invalid("unknown_field", f"this route knows only the fields {', '.join(cls.model_fields)}")
        return super().of(body)

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A question."""
        return {"query": "who may sign a contract", "limit": 5, "budget_seconds": 2.0}

    def request(self) -> SearchRequest:
        """What is to be searched."""
        return SearchRequest(
            query=self.query,
            limit=self.limit,
            budget=self.budget_seconds,
            rerank=self.rerank,
            instruction=self.instruction,
            selection=SelectionOptions(fold=self.fold, diversity=self.diversity, fit=self.fit),
            filters=Filters(self.path, self.collections, self.after, self.before, tuple(self.where.items())),
        )


def _of(type: Any, path: str) -> JsonValue:
    return JsonValue(type, attrgetter(path))


#: Paths are those below the folder of the collection: clients need not know where on the machine it is.
_HIT = JsonObject(
    "SearchResult",
    "A document by its best passage: where it lies, what ranked it (`judged` or `first stage`), and its scores.",
    **{name: _of(str, name) for name in ("path", "collection", "name", "title", "headings")},
    **{name: _of(int, name) for name in ("first_line", "last_line")},
    **{name: _of(str, name) for name in ("part", "text", "stage")},
    **{name: _of(float | None, name) for name in ("logit", "probability", "bm25", "cosine")},
    truncated=_of(bool, "truncated"),
    duplicates=JsonOptional(lambda hit: bool(hit.duplicates), JsonValue(list[str], lambda hit: list(hit.duplicates))),
)
_SELECTION = JsonObject(
    "SearchSelection",
    "What became of the other documents, by their places. folded: how many are duplicates of others. tokens: of the "
    "chosen passages together, null without fit. too_long: of more tokens than fit alone. left_out: did not fit beside "
    "the chosen ones, or are beyond the limit.",
    folded=_of(int, "results.selection.folded"),
    tokens=_of(int | None, "results.selection.tokens"),
    **{name: _of(list[str], f"results.selection.{name}") for name in ("too_long", "left_out")},
)
FOUND = JsonObject(
    "SearchReply",
    "The best documents. `judged` of `candidates` passages were judged, `cached` of them in an earlier search. "
    "`left_out`: the stages that there was no time for, of `words`, `vectors` and `judging`.",
    id=_of(str, "request_id"),
    model=_of(str | None, "model"),
    results=JsonArray(_HIT, attrgetter("results")),
    **{name: _of(int, f"results.{name}") for name in ("candidates", "judged", "cached")},
    left_out=_of(list[str], "results.left_out"),
    selection=JsonOptional(lambda source: source.results.selection is not None, _SELECTION),
    seconds=JsonObject(
        "SearchStages",
        "Seconds of each stage.",
        **{name: _of(float, f"results.seconds.{name}") for name in ("retrieving", "judging", "total")},
    ),
    stale=JsonObject(
        "ChangedFiles",
        "Files that changed, came or went since the index was updated; is_complete: whether all folders were seen.",
        changed=_of(int, "stale.changed"),
        is_complete=_of(bool, "stale.is_complete"),
    ),
    collections=_of(list[str], "collections"),
    usage=JsonObject(
        "SearchUsage",
        "Tokens of the passages that were judged; cost in US dollars where the model has a price.",
        **{name: _of(int, f"usage.{name}") for name in ("prompt_tokens", "computed_tokens")},
        cost=JsonOptional(lambda source: source.cost is not None, JsonValue(float, lambda source: float(source.cost))),
    ),
    warnings=_of(list[str], "warnings"),
)
