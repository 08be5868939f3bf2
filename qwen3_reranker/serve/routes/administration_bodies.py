"""The bodies and replies of /v1/keys, and the query of its list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from qwen3_reranker.serve.accounts.key_fields import HIGHEST_LIMIT, LONGEST_NAME
from qwen3_reranker.serve.accounts.key_records import DEFAULT_SCOPES, MOST_DOLLARS
from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonValue
from qwen3_reranker.serve.routes.account_replies import KEY_DATA, read_whole

MAX_LISTED_KEYS = 1000

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, description="Who or what uses it.")]
Limit = Annotated[int, Field(ge=1, le=HIGHEST_LIMIT)] | None
Dollars = Annotated[float, Field(ge=0, le=MOST_DOLLARS)] | str | None
Names = Annotated[list[str], Field(min_length=1)]


class KeyRights(TypedDict, total=False):
    """What a key may do, and how much."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    scopes: Annotated[
        list[Literal["rerank", "embeddings", "metrics", "admin"]],
        Field(min_length=1, description=f"What it may do; {' and '.join(DEFAULT_SCOPES)} by default."),
    ]
    models: Annotated[Names | None, Field(description="The ids of the models it may use; null for all.")]
    expires_at: Annotated[
        int | str | None,
        Field(description="Its end: Unix seconds, a time in ISO 8601, or a span such as 12h or 30d; null for none."),
    ]
    requests_per_minute: Annotated[Limit, Field(description="Requests per minute, on each server.")]
    tokens_per_minute: Annotated[Limit, Field(description="Prompt tokens per minute, on each server.")]
    concurrency: Annotated[Limit, Field(description="Requests at the same time, on each server.")]
    credit: Annotated[
        Dollars, Field(description="All US dollars that were ever granted in advance; null for no limit.")
    ]
    budget: Annotated[Dollars, Field(description="US dollars for each calendar month in UTC; null for no limit.")]


class KeyFieldsBody(KeyRights, total=False):
    """What to change of a key. What is left out stays as it is, and null takes a limit away."""

    name: Name


class KeyCreationBody(KeyRights):
    """A new key: its name, and what it may do."""

    name: Name


class RotationBody(TypedDict, total=False):
    """How long the old text of a key stays valid."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    grace: Annotated[
        int | str | None, Field(description="Seconds, or a span such as 10m, 12h or 30d; none by default.")
    ]


class TopUpBody(TypedDict):
    """More credit. With a header Idempotency-Key a repeated request adds once."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    dollars: Annotated[float | str, Field(description="US dollars, above 0.")]


#: From a list of KeyFacts, and whether there are more.
KEYS_REPLY = JsonObject(
    "KeysReply",
    "GET /v1/keys: the oldest first. Ask for more with after=ID of the last.",
    object="list",
    data=JsonArray(KEY_DATA, lambda page: page[0]),
    has_more=JsonValue(bool, lambda page: page[1]),
)
#: From the text of a key and its KeyFacts.
NEW_KEY_REPLY = JsonObject(
    "NewKeyReply",
    "A key with its text, which is not stored and cannot be shown again.",
    key=JsonValue(str, lambda made: made[0]),
    data=JsonValue(KEY_DATA.type, lambda made: KEY_DATA.write(made[1])),
)


def read_page(parameters: Mapping[str, str]) -> tuple[str | None, int]:
    """The query of the list: after, an id, and limit. Raises Problem 400."""
    return parameters.get("after"), read_whole(parameters, "limit", MAX_LISTED_KEYS, 1, MAX_LISTED_KEYS)
