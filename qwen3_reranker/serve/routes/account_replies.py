"""The replies of /v1/key, /v1/credits, /v1/usage and /v1/check-api-key, and the query of /v1/usage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from qwen3_reranker.serve.accounts.key_records import NANODOLLARS, KeyRecord, UsageSum
from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonValue
from qwen3_reranker.serve.problems import invalid

WIDTHS = {"1h": 3600, "1d": 86_400}
_MAX_BUCKETS = 744  # a month of hours, two years of days
_USUAL_BUCKETS = {"1h": 24, "1d": 30}
_LATEST = 1 << 40


def _dollars(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _budget_or(key: KeyRecord, of_budget: Any, of_credit: Any) -> Any:
    return of_credit if key.budget is None else of_budget


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


#: From KeyFacts. OpenRouter's fields first, money in US dollars; then further facts of this server.
KEY_DATA = JsonObject(
    "KeyData",
    "A key in OpenRouter's fields, money in US dollars, and further facts of this server. limit, limit_remaining and "
    "limit_reset are of the monthly budget where there is one, else of the credit.",
    label=JsonValue(str, lambda facts: f"{facts.key.shown}..."),
    limit=JsonValue(
        float | None, lambda facts: _dollars(_budget_or(facts.key, facts.key.budget, facts.key.credit_granted))
    ),
    limit_remaining=JsonValue(
        float | None, lambda facts: _dollars(_budget_or(facts.key, facts.key.budget_left, facts.key.credit_left))
    ),
    limit_reset=JsonValue(str | None, lambda facts: _budget_or(facts.key, "monthly", None)),
    usage=JsonValue(float, lambda facts: _dollars(facts.key.credit_used)),
    usage_daily=JsonValue(float, lambda facts: _dollars(facts.today)),
    usage_weekly=JsonValue(float, lambda facts: _dollars(facts.this_week)),
    usage_monthly=JsonValue(float, lambda facts: _dollars(facts.this_month)),
    is_free_tier=False,
    is_management_key=JsonValue(bool, lambda facts: "admin" in facts.key.scopes),
    expires_at=JsonValue(str | None, lambda facts: _iso(facts.key.expires)),
    rate_limit=JsonObject(
        "KeyLimit",
        "A rate; -1 requests for none.",
        requests=JsonValue(int, lambda facts: -1 if facts.key.limits.requests is None else facts.key.limits.requests),
        interval="60s",
    ),
    id=JsonValue(str, lambda facts: facts.key.id),
    name=JsonValue(str, lambda facts: facts.key.name),
    state=JsonValue(Literal["active", "expired", "revoked"], lambda facts: facts.key.state(time.time())),
    scopes=JsonValue(list[str], lambda facts: list(facts.key.scopes)),
    models=JsonValue(list[str] | None, lambda facts: None if facts.key.models is None else list(facts.key.models)),
    requests_per_minute=JsonValue(int | None, lambda facts: facts.key.limits.requests),
    tokens_per_minute=JsonValue(int | None, lambda facts: facts.key.limits.tokens),
    concurrency=JsonValue(int | None, lambda facts: facts.key.limits.concurrency),
    credit=JsonValue(float | None, lambda facts: _dollars(facts.key.credit_granted)),
    credit_remaining=JsonValue(float | None, lambda facts: _dollars(facts.key.credit_left)),
    budget=JsonValue(float | None, lambda facts: _dollars(facts.key.budget)),
    budget_remaining=JsonValue(float | None, lambda facts: _dollars(facts.key.budget_left)),
    created_at=JsonValue(str, lambda facts: _iso(facts.key.created)),
    revoked_at=JsonValue(str | None, lambda facts: _iso(facts.key.revoked)),
    last_used_at=JsonValue(str | None, lambda facts: _iso(facts.key.last_used)),
)
KEY_REPLY = JsonObject("KeyReply", "GET /v1/key.", data=KEY_DATA)
#: From a KeyRecord.
CREDITS_REPLY = JsonObject(
    "CreditsReply",
    "GET /v1/credits.",
    data=JsonObject(
        "CreditsData",
        "Granted and used US dollars; total_credits is null for a key without a limit.",
        total_credits=JsonValue(float | None, lambda key: _dollars(key.credit_granted)),
        total_usage=JsonValue(float, lambda key: _dollars(key.credit_used)),
    ),
)
#: From a KeyRecord; a key that is not valid never comes so far.
CHECK_REPLY = JsonObject(
    "CheckReply",
    "POST /v1/check-api-key, in Cohere's fields.",
    valid=True,
    organization_id=JsonValue(str | None, lambda key: key.id),
    owner_id=JsonValue(str | None, lambda key: None),
)


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Buckets of `width` seconds from `since` until `until`, multiples of it in Unix time."""

    since: int
    until: int
    width: int


@dataclass(frozen=True, slots=True)
class UsageBuckets:
    """The source of /v1/usage: a query and its sums, oldest first."""

    query: UsageQuery
    sums: Sequence[UsageSum]

    def each(self) -> Iterator[tuple[int, int, list[UsageSum]]]:
        """Start, end and sums of every bucket from the first to the last."""
        found = {start: list(group) for start, group in groupby(self.sums, lambda row: row.start)}
        for start in range(self.query.since, self.query.until, self.query.width):
            yield start, start + self.query.width, found.get(start, [])


USAGE_REPLY = JsonObject(
    "UsageReply",
    "GET /v1/usage: every bucket from the first to the last, oldest first.",
    object="page",
    data=JsonArray(
        JsonObject(
            "UsageBucket",
            "An hour or a day: Unix times, without the end. results is empty where nothing was used.",
            object="bucket",
            start_time=JsonValue(int, lambda bucket: bucket[0]),
            end_time=JsonValue(int, lambda bucket: bucket[1]),
            results=JsonArray(
                JsonObject(
                    "UsageResult",
                    "The usage of one model by one key in a bucket; cost in US dollars.",
                    object="usage.result",
                    api_key_id=JsonValue(str, lambda used: used.key_id),
                    model=JsonValue(str, lambda used: used.model),
                    num_model_requests=JsonValue(int, lambda used: used.requests),
                    documents=JsonValue(int, lambda used: used.documents),
                    input_tokens=JsonValue(int, lambda used: used.prompt_tokens),
                    computed_tokens=JsonValue(int, lambda used: used.computed_tokens),
                    cost=JsonValue(float, lambda used: _dollars(used.cost)),
                ),
                lambda bucket: bucket[2],
            ),
        ),
        UsageBuckets.each,
    ),
    has_more=False,
    next_page=None,
)


def read_usage_query(parameters: Mapping[str, str], now: float) -> UsageQuery:
    """The query of /v1/usage: start_time, end_time, bucket_width (1h or 1d) and limit, all optional.

    Without times it is the last `limit` buckets, up to that of today or this hour. Raises Problem 400.
    """
    name = parameters.get("bucket_width", "1d")
    if name not in WIDTHS:
        raise invalid("invalid_bucket_width", "bucket_width must be 1h or 1d", "bucket_width")
    width = WIDTHS[name]
    limit = read_whole(parameters, "limit", _USUAL_BUCKETS[name], 1, _MAX_BUCKETS)
    end = read_whole(parameters, "end_time", int(now) + 1, 1, _LATEST)
    until = -(-end // width) * width
    since = read_whole(parameters, "start_time", max(0, until - limit * width), 0, _LATEST) // width * width
    if since >= until:
        raise invalid("invalid_start_time", "start_time must lie before end_time", "start_time")
    if "limit" in parameters:
        until = min(until, since + limit * width)
    if until - since > _MAX_BUCKETS * width:
        raise invalid("too_many_buckets", f"at most {_MAX_BUCKETS} buckets can be asked for at once", "start_time")
    return UsageQuery(since, until, width)


def read_whole(parameters: Mapping[str, str], name: str, default: int, minimum: int, maximum: int) -> int:
    """A whole number of a query, in bounds. Raises Problem 400."""
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and minimum <= int(text) <= maximum):
        raise invalid(f"invalid_{name}", f"{name} must be a whole number from {minimum} to {maximum}", name)
    return int(text)
