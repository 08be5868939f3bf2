"""Facts of accounts -> the bodies of /v1/key, /v1/credits, /v1/usage and /v1/check-api-key, and their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel

from qwen3_reranker.serve.accounts.key_records import NANODOLLARS, KeyFacts, KeyRecord, UsageSum
from qwen3_reranker.serve.problems import invalid

WIDTHS = {"1h": 3600, "1d": 86_400}
_MOST_BUCKETS = 744  # a month of hours, two years of days
_USUAL_BUCKETS = {"1h": 24, "1d": 30}
_LATEST = 1 << 40


class KeyLimit(BaseModel):
    """A rate; -1 requests for none."""

    requests: int
    interval: str


class KeyData(BaseModel):
    """A key as OpenRouter tells of it, money in US dollars; and what else this server knows of it."""

    label: str
    limit: float | None
    limit_remaining: float | None
    limit_reset: str | None
    usage: float
    usage_daily: float
    usage_weekly: float
    usage_monthly: float
    is_free_tier: bool
    is_management_key: bool
    expires_at: str | None
    rate_limit: KeyLimit
    id: str
    name: str
    scopes: list[str]
    models: list[str] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    created_at: str
    last_used_at: str | None


class KeyReply(BaseModel):
    """GET /v1/key."""

    data: KeyData


class CreditsData(BaseModel):
    """US dollars that were granted and used; total_credits is null for a key without a limit."""

    total_credits: float | None
    total_usage: float


class CreditsReply(BaseModel):
    """GET /v1/credits."""

    data: CreditsData


class UsageResult(BaseModel):
    """What one model was used for in a bucket; cost in US dollars."""

    object: Literal["usage.result"] = "usage.result"
    model: str
    num_model_requests: int
    documents: int
    input_tokens: int
    computed_tokens: int
    cost: float


class UsageBucket(BaseModel):
    """An hour or a day: Unix times, the end not in it. results is empty where nothing was used."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[UsageResult]


class UsageReply(BaseModel):
    """GET /v1/usage: every bucket from the first to the last, oldest first."""

    object: Literal["page"] = "page"
    data: list[UsageBucket]
    has_more: Literal[False] = False
    next_page: None = None


class CheckReply(BaseModel):
    """POST /v1/check-api-key, as Cohere answers it."""

    valid: Literal[True] = True
    organization_id: str | None = None
    owner_id: str | None = None


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Buckets of `width` seconds from `since` until `until`, Unix times that are multiples of the width."""

    since: int
    until: int
    width: int


def read_usage_query(parameters: Mapping[str, str], now: float) -> UsageQuery:
    """What /v1/usage is asked for: start_time, end_time, bucket_width (1h or 1d) and limit, all optional.

    Without times it is the last `limit` buckets, today's or this hour's the last of them. Raises Problem 400.
    """
    name = parameters.get("bucket_width", "1d")
    if name not in WIDTHS:
        raise invalid("invalid_bucket_width", "bucket_width must be 1h or 1d", "bucket_width")
    width = WIDTHS[name]
    limit = _whole(parameters, "limit", _USUAL_BUCKETS[name], 1, _MOST_BUCKETS)
    end = _whole(parameters, "end_time", int(now) + 1, 1, _LATEST)
    until = -(-end // width) * width
    since = _whole(parameters, "start_time", max(0, until - limit * width), 0, _LATEST) // width * width
    if since >= until:
        raise invalid("invalid_start_time", "start_time must lie before end_time", "start_time")
    if "limit" in parameters:
        until = min(until, since + limit * width)
    if until - since > _MOST_BUCKETS * width:
        raise invalid("too_many_buckets", f"at most {_MOST_BUCKETS} buckets can be asked for at once", "start_time")
    return UsageQuery(since, until, width)


def key_body(facts: KeyFacts) -> dict[str, Any]:
    """The body of /v1/key."""
    key = facts.key
    requests = key.limits.requests
    data = KeyData(
        label=f"{key.shown}...",
        limit=_dollars(key.credit_granted),
        limit_remaining=_dollars(key.credit_left),
        limit_reset=None,
        usage=key.credit_used / NANODOLLARS,
        usage_daily=facts.today / NANODOLLARS,
        usage_weekly=facts.this_week / NANODOLLARS,
        usage_monthly=facts.this_month / NANODOLLARS,
        is_free_tier=False,
        is_management_key="admin" in key.scopes,
        expires_at=_moment(key.expires),
        rate_limit=KeyLimit(requests=-1 if requests is None else requests, interval="60s"),
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        models=None if key.models is None else list(key.models),
        requests_per_minute=requests,
        tokens_per_minute=key.limits.tokens,
        concurrency=key.limits.concurrency,
        created_at=str(_moment(key.created)),
        last_used_at=_moment(key.last_used),
    )
    return KeyReply(data=data).model_dump()


def credits_body(key: KeyRecord) -> dict[str, Any]:
    """The body of /v1/credits."""
    data = CreditsData(total_credits=_dollars(key.credit_granted), total_usage=key.credit_used / NANODOLLARS)
    return CreditsReply(data=data).model_dump()


def usage_body(query: UsageQuery, sums: Sequence[UsageSum]) -> dict[str, Any]:
    """The body of /v1/usage: the sums, oldest first, in the buckets that were asked for."""
    results = {start: [_result(each) for each in group] for start, group in groupby(sums, lambda each: each.start)}
    starts = range(query.since, query.until, query.width)
    buckets = [
        UsageBucket(start_time=start, end_time=start + query.width, results=results.get(start, [])) for start in starts
    ]
    return UsageReply(data=buckets).model_dump()


def check_body(key: KeyRecord) -> dict[str, Any]:
    """The body of /v1/check-api-key; a key that is not valid never comes so far."""
    return CheckReply(organization_id=key.id).model_dump()


def _result(each: UsageSum) -> UsageResult:
    return UsageResult(
        model=each.model,
        num_model_requests=each.requests,
        documents=each.documents,
        input_tokens=each.prompt_tokens,
        computed_tokens=each.computed_tokens,
        cost=each.cost / NANODOLLARS,
    )


def _whole(parameters: Mapping[str, str], name: str, otherwise: int, least: int, most: int) -> int:
    text = parameters.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise invalid(f"invalid_{name}", f"{name} must be a whole number from {least} to {most}", name)
    return int(text)


def _dollars(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _moment(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
