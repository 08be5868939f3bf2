"""Bodies about keys and usage have the shapes that they promise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qwen3_reranker.serve.accounts.key_records import KeyFacts, KeyLimits, KeyRecord, UsageSum
from qwen3_reranker.serve.dialects.base import JsonObject, fill
from qwen3_reranker.serve.routes.account_replies import (
    CHECK_REPLY,
    CREDITS_REPLY,
    KEY_REPLY,
    USAGE_REPLY,
    UsageBuckets,
    read_usage_query,
)
from tests.serve.accounts.conftest import problem_of, refused

NOW = 1_800_000_000.5  # Friday, 2027-01-15 08:00 UTC
HOUR, DAY = 3600, 86_400
PAID = KeyRecord(
    "key_a",
    "search team",
    "qr_live_4f9cAb12",
    1_700_000_000,
    scopes=("rerank", "admin"),
    models=("nano",),
    expires=1_900_000_000,
    last_used=1_800_000_000,
    limits=KeyLimits(60, 1000, 2),
    credit_granted=100_000_000_000,
    credit_used=25_500_000_000,
)
FREE = KeyRecord("key_b", "b", "qr_live_00000000", 0)


def test_a_key_is_told_of_as_openrouter_does() -> None:
    data = fill(KEY_REPLY, KeyFacts(PAID, 1_000_000_000, 2_000_000_000, 3_500_000_000))["data"]
    assert data.pop("rate_limit") == {"requests": 60, "interval": "60s"}
    assert data == {
        "label": "qr_live_4f9cAb12...",
        "limit": 100.0,
        "limit_remaining": 74.5,
        "limit_reset": None,
        "usage": 25.5,
        "usage_daily": 1.0,
        "usage_weekly": 2.0,
        "usage_monthly": 3.5,
        "is_free_tier": False,
        "is_management_key": True,
        "expires_at": "2030-03-17T17:46:40Z",
        "id": "key_a",
        "name": "search team",
        "state": "active",
        "scopes": ["rerank", "admin"],
        "models": ["nano"],
        "requests_per_minute": 60,
        "tokens_per_minute": 1000,
        "concurrency": 2,
        "credit": 100.0,
        "credit_remaining": 74.5,
        "budget": None,
        "budget_remaining": None,
        "created_at": "2023-11-14T22:13:20Z",
        "revoked_at": None,
        "last_used_at": "2027-01-15T08:00:00Z",
    }
    free = fill(KEY_REPLY, KeyFacts(FREE, 0, 0, 0))["data"]
    assert (free["limit"], free["limit_remaining"], free["rate_limit"]["requests"]) == (None, None, -1)


def test_the_limit_of_a_key_with_a_budget_is_the_months() -> None:
    monthly = replace(PAID, budget=10_000_000_000, month=1_798_761_600, month_used=3_500_000_000)
    data = fill(KEY_REPLY, KeyFacts(monthly, 1_000_000_000, 2_000_000_000, 3_500_000_000))["data"]
    assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (10.0, 6.5, "monthly")
    assert (data["budget"], data["budget_remaining"], data["credit"]) == (10.0, 6.5, 100.0)


def test_credits_are_what_was_granted_and_used() -> None:
    assert fill(CREDITS_REPLY, PAID) == {"data": {"total_credits": 100.0, "total_usage": 25.5}}
    assert fill(CREDITS_REPLY, FREE) == {"data": {"total_credits": None, "total_usage": 0.0}}


def test_a_valid_key_is_valid_as_cohere_says_it() -> None:
    assert fill(CHECK_REPLY, PAID) == {"valid": True, "organization_id": "key_a", "owner_id": None}


def test_usage_has_every_bucket_and_the_models_in_it() -> None:
    query = read_usage_query({"limit": "3"}, NOW)
    today = int(NOW) - int(NOW) % DAY
    assert (query.since, query.until, query.width) == (today - 2 * DAY, today + DAY, DAY)
    sums = [UsageSum(today, "big", 1, 5, 50, 40, 2_000, "key_a"), UsageSum(today, "nano", 2, 4, 30, 20, 0)]
    body = fill(USAGE_REPLY, UsageBuckets(query, sums))
    assert [(each["start_time"], each["end_time"]) for each in body["data"]] == [
        (today + place * DAY, today + (place + 1) * DAY) for place in (-2, -1, 0)
    ]
    assert [each["results"] for each in body["data"][:2]] == [[], []]
    assert body["data"][2]["results"][0] == {
        "object": "usage.result",
        "api_key_id": "key_a",
        "model": "big",
        "num_model_requests": 1,
        "documents": 5,
        "input_tokens": 50,
        "computed_tokens": 40,
        "cost": 0.000002,
    }
    assert (body["object"], body["has_more"], body["next_page"]) == ("page", False, None)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (fill(KEY_REPLY, KeyFacts(PAID, 1, 2, 3)), KEY_REPLY),
        (fill(KEY_REPLY, KeyFacts(FREE, 1, 2, 3)), KEY_REPLY),
        (fill(CREDITS_REPLY, FREE), CREDITS_REPLY),
        (fill(CHECK_REPLY, FREE), CHECK_REPLY),
        (fill(USAGE_REPLY, UsageBuckets(read_usage_query({}, NOW), [])), USAGE_REPLY),
    ],
)
def test_bodies_are_json_and_have_their_shapes(body: dict[str, object], shape: JsonObject) -> None:
    assert TypeAdapter(shape.type).validate_python(json.loads(json.dumps(body)), strict=True) == body


@pytest.mark.parametrize(
    ("parameters", "buckets", "width"),
    [
        ({}, 30, DAY),
        ({"bucket_width": "1h"}, 24, HOUR),
        ({"bucket_width": "1h", "limit": "744"}, 744, HOUR),
        ({"start_time": str(int(NOW) - 3 * DAY)}, 4, DAY),
        ({"start_time": "0", "limit": "7"}, 7, DAY),
        ({"start_time": "0", "end_time": "1"}, 1, DAY),
    ],
)
def test_a_query_names_whole_buckets(parameters: dict[str, str], buckets: int, width: int) -> None:
    query = read_usage_query(parameters, NOW)
    assert query.width == width
    assert (query.until - query.since) // width == buckets
    assert query.since % width == query.until % width == 0


@pytest.mark.parametrize(
    ("parameters", "code", "name"),
    [
        ({"bucket_width": "1m"}, "invalid_bucket_width", "bucket_width"),
        ({"limit": "0"}, "invalid_limit", "limit"),
        ({"limit": "745"}, "invalid_limit", "limit"),
        ({"limit": "٣"}, "invalid_limit", "limit"),
        ({"start_time": "-1"}, "invalid_start_time", "start_time"),
        ({"start_time": "9" * 5000}, "invalid_start_time", "start_time"),
        ({"end_time": "tomorrow"}, "invalid_end_time", "end_time"),
        ({"start_time": "200000", "end_time": "100"}, "invalid_start_time", "start_time"),
        ({"start_time": "0"}, "too_many_buckets", "start_time"),
    ],
)
def test_a_query_that_cannot_be_answered_says_where(parameters: dict[str, str], code: str, name: str) -> None:
    problem = refused(400, read_usage_query, parameters, NOW)
    assert (problem.code, problem.parameter) == (code, name)
    assert "tomorrow" not in problem.message


@given(
    st.dictionaries(
        st.sampled_from(["bucket_width", "limit", "start_time", "end_time"]),
        st.one_of(
            st.text("0123456789-+.h٣ ", max_size=12), st.integers(0, 2**41).map(str), st.sampled_from(["1h", "1d"])
        ),
    )
)
def test_any_query_is_a_bounded_answer_or_a_problem(parameters: dict[str, str]) -> None:
    problem = problem_of(read_usage_query, parameters, NOW)
    if problem is None:
        query = read_usage_query(parameters, NOW)
        assert 0 < len(fill(USAGE_REPLY, UsageBuckets(query, []))["data"]) <= 744
    else:
        assert problem.status == 400
