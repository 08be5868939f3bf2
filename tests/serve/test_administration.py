"""Keys with the scope admin manage all keys over HTTP: at once, logged, and never so that nobody can any more."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qwen3_reranker.serve.accounts.key_fields import checked_fields
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.log import set_log_level
from qwen3_reranker.serve.routes.account_replies import KEY_REPLY
from qwen3_reranker.serve.routes.administration_bodies import KEYS_REPLY, NEW_KEY_REPLY, KeyCreationBody
from testing.live_server import Live, live_server
from testing.patience import until

pytestmark = pytest.mark.slow

BODY = {"query": "how do I undo a commit", "documents": ["git revert", "a cat", "git reset"]}


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "keys.db")


@pytest.fixture
def live(place: str):
    with live_server(
        keys=place, keys_cache=60.0, usage_flush=0.05, models=[{"source": "nano", "price": "0.5"}]
    ) as running:
        yield running


@pytest.fixture
def admin(live: Live, place: str):
    store = Store(place)
    text, _ = store.create_key("operator", scopes=["admin"])
    store.close()
    with httpx2.Client(base_url=live.url, headers={"authorization": f"Bearer {text}"}) as client:
        yield client


def data(reply: httpx2.Response) -> Any:
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def rank(live: Live, key: str) -> int:
    return httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers={"x-api-key": key}).status_code


def test_a_key_lives_from_its_creation_to_its_end_without_a_restart(live: Live, admin: httpx2.Client) -> None:
    made = admin.post("/v1/keys", json={"name": "search team", "concurrency": 4, "credit": "0.5", "expires_at": "30d"})
    key = data(made)
    TypeAdapter(NEW_KEY_REPLY.type).validate_python(made.json(), strict=True)
    first, path = made.json()["key"], f"/v1/keys/{key['id']}"
    assert (key["name"], key["credit"], key["state"]) == ("search team", 0.5, "active")
    assert rank(live, first) == 200

    changed = data(admin.patch(path, json={"requests_per_minute": 2, "concurrency": None, "budget": 1, "name": "b"}))
    assert (changed["requests_per_minute"], changed["concurrency"], changed["limit_reset"]) == (2, None, "monthly")
    assert (changed["expires_at"], changed["credit"]) == (key["expires_at"], key["credit"])
    assert data(admin.get(path))["name"] == "b"
    assert [rank(live, first) for _ in range(3)] == [200, 200, 429]
    data(admin.patch(path, json={"requests_per_minute": None}))
    assert rank(live, first) == 200

    second = admin.post(f"{path}/rotate", json={"grace": "1h"}).json()["key"]
    assert [rank(live, text) for text in (first, second)] == [200, 200]
    third = admin.post(f"{path}/rotate", json={}).json()["key"]
    assert [rank(live, text) for text in (first, second, third)] == [401, 401, 200]

    until(lambda: data(admin.get(path))["usage"] > 0)
    used = data(admin.get(path))["usage"]
    assert data(admin.patch(path, json={"budget": 0}))["budget_remaining"] <= -used
    assert rank(live, third) == 402
    data(admin.patch(path, json={"budget": None}))

    def top_up(dollars: float) -> httpx2.Response:
        return admin.post(f"{path}/top-up", json={"dollars": dollars}, headers={"idempotency-key": "invoice 7"})

    assert [data(top_up(0.25))["credit"] for _ in range(3)] == [0.75] * 3
    assert top_up(1).status_code == 409

    for _ in range(2):
        ended = data(admin.post(f"{path}/revoke"))
        assert (ended["state"], ended["id"]) == ("revoked", key["id"])
    assert rank(live, third) == 401
    assert admin.post(f"{path}/rotate", json={}).json()["error"]["code"] == "key_revoked"


def test_the_list_has_every_key_a_page_at_a_time_and_no_secret(live: Live, admin: httpx2.Client) -> None:
    texts = [admin.post("/v1/keys", json={"name": f"key {number}"}).json()["key"] for number in range(5)]
    whole = admin.get("/v1/keys")
    TypeAdapter(KEYS_REPLY.type).validate_python(whole.json(), strict=True)
    assert {key["name"] for key in data(whole)} == {"operator", *(f"key {number}" for number in range(5))}
    assert not [text for text in texts if text[16:] in whole.text]
    pages: list[Any] = []
    more = True
    while more:
        after = {"after": pages[-1]["id"]} if pages else {}
        page = admin.get("/v1/keys", params={"limit": 2, **after}).json()
        pages, more = pages + page["data"], page["has_more"]
    assert pages == data(whole)
    assert admin.get("/v1/keys", params={"limit": "0"}).status_code == 400


def test_usage_is_told_by_key_model_and_day(live: Live, admin: httpx2.Client) -> None:
    made = [admin.post("/v1/keys", json={"name": name}).json() for name in ("a", "b")]
    for number, each in enumerate(made):
        assert {rank(live, each["key"]) for _ in range(number + 1)} == {200}

    def results(path: str) -> list[dict[str, Any]]:
        return [each for bucket in data(admin.get(path)) for each in bucket["results"]]

    until(lambda: sum(each["num_model_requests"] for each in results("/v1/keys/usage")) == 3)
    by_key = {each["api_key_id"]: each for each in results("/v1/keys/usage?bucket_width=1h")}
    assert [by_key[each["data"]["id"]]["num_model_requests"] for each in made] == [1, 2]
    assert {each["model"] for each in by_key.values()} == {"nano"}
    assert results(f"/v1/keys/{made[1]['data']['id']}/usage") == [by_key[made[1]["data"]["id"]]]
    assert admin.get("/v1/keys/key_nobody/usage").status_code == 404


def test_only_the_scope_admin_opens_it_and_without_keys_there_is_nothing(live: Live, admin: httpx2.Client) -> None:
    made = admin.post("/v1/keys", json={"name": "a", "scopes": ["rerank", "embeddings", "metrics"]}).json()
    headers = {"authorization": f"Bearer {made['key']}"}
    paths = [each for each in live.application.endpoints if each.tag == "administration"]
    assert len(paths) == 9
    for endpoint in paths:
        body = None if endpoint.method == "GET" else {"name": "mine", "dollars": 5}
        path = endpoint.path.replace("{id}", made["data"]["id"])
        assert httpx2.request(endpoint.method, live.url + path, headers=headers, json=body).status_code == 403
    assert {key["name"] for key in data(admin.get("/v1/keys"))} == {"operator", "a"}
    with live_server() as without:
        reply = httpx2.post(f"{without.url}/v1/keys", json={"name": "a"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "keys_off")


def test_the_last_administrator_cannot_lock_everybody_out(live: Live, admin: httpx2.Client) -> None:
    [operator] = data(admin.get("/v1/keys"))
    path = f"/v1/keys/{operator['id']}"
    for refused in (admin.post(f"{path}/revoke"), admin.patch(path, json={"scopes": ["rerank"]})):
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "last_admin")
    second = admin.post("/v1/keys", json={"name": "second", "scopes": ["admin"]}).json()["key"]
    admin.post(f"{path}/revoke")
    assert admin.get("/v1/keys").status_code == 401
    first = data(admin.get(path, headers={"authorization": f"Bearer {second}"}))
    assert first["state"] == "revoked"


WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "no name": ({}, "missing_required_parameter", "name"),
    "an empty name": ({"name": " "}, "invalid_value", "name"),
    "a name that steers": ({"name": "a\x1b[2J"}, "invalid_value", "name"),
    "a misspelt limit": ({"name": "a", "request_per_minute": 5}, "unknown_field", None),
    "a limit of nothing": ({"name": "a", "concurrency": 0}, "invalid_value", "concurrency"),
    "a limit that is no number": ({"name": "a", "tokens_per_minute": True}, "invalid_value", "tokens_per_minute"),
    "an unknown scope": ({"name": "a", "scopes": ["root"]}, "invalid_value", "scopes"),
    "scopes that are no list": ({"name": "a", "scopes": "admin"}, "invalid_value", "scopes"),
    "no scope": ({"name": "a", "scopes": []}, "invalid_value", "scopes"),
    "null for a scope": ({"name": "a", "scopes": None}, "invalid_value", "scopes"),
    "negative dollars": ({"name": "a", "budget": -1}, "invalid_value", "budget"),
    "a crumb of a dollar": ({"name": "a", "credit": 1e-10}, "invalid_value", "credit"),
    "an end that has passed": ({"name": "a", "expires_at": "2020-01-01"}, "invalid_value", "expires_at"),
    "an end in words": ({"name": "a", "expires_at": "soon"}, "invalid_value", "expires_at"),
    "an end beyond all calendars": ({"name": "a", "expires_at": 10**15}, "invalid_value", "expires_at"),
}


def test_what_a_key_cannot_be_is_400_with_its_field_and_changes_nothing(live: Live, admin: httpx2.Client) -> None:
    for name, (body, code, field) in WRONG.items():
        reply = admin.post("/v1/keys", json=body)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, code, field), name
    assert admin.patch("/v1/keys/key_nobody", json={}).json()["error"]["code"] == "key_not_found"
    assert admin.post("/v1/keys/key_nobody/rotate", json={}).status_code == 404
    assert admin.post("/v1/keys/key_nobody/top-up", json={"dollars": 0}).status_code == 400
    assert admin.post("/v1/keys", content=b"[]").status_code == 400
    assert len(data(admin.get("/v1/keys"))) == 1


def test_each_change_is_a_line_of_the_log_that_names_who_and_what_and_no_secret(
    live: Live, admin: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    [operator] = data(admin.get("/v1/keys"))
    before = logging.getLevelName(logging.getLogger("qwen3_reranker").level)
    # Also where the log tells only of errors.
    set_log_level("error")
    try:
        made = admin.post("/v1/keys", json={"name": "a", "budget": 2}).json()
        path = f"/v1/keys/{made['data']['id']}"
        admin.patch(path, json={"concurrency": 3})
        rotated = admin.post(f"{path}/rotate", json={"grace": 60}).json()
        admin.patch(path, json={"concurrency": 0})
        admin.post(f"{path}/revoke")
    finally:
        set_log_level(before)
    facts = [vars(record)["facts"] for record in caplog.records if record.name.endswith("key_changes")]
    assert {(each["by"], each["key"]) for each in facts} == {(operator["id"], made["data"]["id"])}
    assert [each["action"] for each in facts] == ["create", "change", "rotate", "revoke"]
    assert facts[0]["set"] == {"name": "a", "budget": 2_000_000_000}
    assert facts[1]["set"] == {"concurrency": 3}
    assert facts[2]["grace_seconds"] == 60
    logged = json.dumps(facts)
    assert not [text for text in (made["key"], rotated["key"]) if text[16:] in logged]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.sampled_from(["admin", "rerank", "nano", ""]), max_size=3),
)
BODIES = st.fixed_dictionaries(
    {"name": st.one_of(st.just("a"), VALUES)},
    optional={name: VALUES for name in (*KeyCreationBody.__annotations__, "other") if name != "name"},
)


@given(BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_body_makes_a_key_that_is_as_it_says_or_is_400(admin: httpx2.Client, body: dict[str, Any]) -> None:
    reply = admin.post("/v1/keys", json=body)
    assert reply.status_code in (200, 400), reply.text
    if reply.status_code == 400:
        return
    made = data(reply)
    fields = {"expires" if name == "expires_at" else name: value for name, value in body.items()}
    assert checked_fields(fields, time.time() - 60)
    TypeAdapter(KEY_REPLY.type).validate_python(admin.get(f"/v1/keys/{made['id']}").json(), strict=True)
    assert [name for name in body if made[name] is None] == [name for name in body if body[name] is None]
