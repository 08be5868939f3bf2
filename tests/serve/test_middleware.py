"""The middleware: no route but the public ones without a key, and that before the body; what is counted and charged."""

import asyncio
import contextlib
import re
import socket
import time
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.serve.accounts.key_format import generate
from qwen3_reranker.serve.accounts.key_records import KeyLimits
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.application import Application
from qwen3_reranker.serve.middleware import RequestState
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS, until

# What is answered without a key, listed here once more: a mistake in the table of endpoints opens no door.
PUBLIC = {"/", "/models", "/keys", "/health", "/health/live", "/health/ready", "/ping", "/version", "/openapi.json"}
PUBLIC |= {"/.well-known/ready", "/.well-known/live", "/robots.txt", "/reference", "/search", "/admin"}
BODY = {"query": "how do I undo a commit", "documents": ["git revert", "a cat", "git reset"]}


def test_a_timer_that_ends_a_request_a_little_early_is_its_deadline_and_no_client_that_left() -> None:
    state = RequestState("r", time.monotonic(), deadline=time.monotonic() + 60)
    found = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            found.append(state.status_without_reply())
            raise

    async def request(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds) as state.timeout:
                await wait()

    async def client_leaves() -> None:
        task = asyncio.create_task(request(60))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(request(0))
    asyncio.run(client_leaves())
    assert found == [504, 499]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("keys") / "keys.db")


@pytest.fixture(scope="module")
def live(place: str):
    with live_server(
        keys=place, keys_cache=0.2, usage_flush=0.05, models=[{"source": "nano", "price": "0.5"}]
    ) as running:
        yield running


@pytest.fixture(scope="module")
def key(place: str, live: Live) -> str:
    return made(place)


def made(place: str, **fields: object) -> str:
    """A new key."""
    store = Store(place)
    try:
        return store.create_key("tests", **fields)[0]  # type: ignore[arg-type]
    finally:
        store.close()


def routes(application: Application) -> list[tuple[str, str]]:
    """Every method and path that the application routes, with something in place of parameters."""
    found = []
    for endpoint in application.endpoints:
        path = re.sub(r"{[^}]*}", "something", endpoint.path)
        found += [
            (method, path) for method in ([endpoint.method, "HEAD"] if endpoint.method == "GET" else [endpoint.method])
        ]
    return found


def is_public(method: str, path: str) -> bool:
    return method in ("GET", "HEAD") and (path in PUBLIC or path.startswith(("/models/", "/assets/")))


def test_every_route_but_the_public_ones_answers_401_before_the_body_is_read(live: Live) -> None:
    audited = [each for each in routes(live.application) if not is_public(*each)]
    assert len(audited) > 50
    for method, path in audited:
        with socket.create_connection(("127.0.0.1", live.port), timeout=PATIENCE_SECONDS) as client:
            client.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nobody\r\n"
                f"Content-Length: 1000\r\n\r\n{{".encode()
            )
            answer = client.recv(4000)
            assert answer.startswith(b"HTTP/1.1 401 "), (method, path, answer)
            assert b"www-authenticate: Bearer" in answer


def test_a_slash_at_the_end_of_any_address_changes_neither_who_may_pass_nor_what_answers(live: Live, key: str) -> None:
    with httpx2.Client(base_url=live.url) as client:
        for method, path in routes(live.application):
            for headers in ({}, {"x-api-key": key}):
                statuses = {client.request(method, each, headers=headers).status_code for each in (path, f"{path}/")}
                assert len(statuses) == 1, (method, path)


def test_an_address_where_nothing_is_needs_a_key_as_well(live: Live, key: str) -> None:
    assert httpx2.post(f"{live.url}/nothing").status_code == 401
    assert httpx2.post(f"{live.url}/nothing", headers={"authorization": f"Bearer {key}"}).status_code == 404


def test_public_routes_need_none_and_only_for_reading(live: Live) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/ping", "/version", "/openapi.json"):
        assert httpx2.get(live.url + path).status_code == 200
        assert httpx2.post(live.url + path).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer {}"),
        ("authorization", "bearer  {}"),
        ("authorization", "{}"),
        ("x-api-key", "{}"),
        ("api-key", "{}"),
    ],
)
def test_a_key_is_taken_from_every_header_that_clients_use(live: Live, key: str, header: tuple[str, str]) -> None:
    name, form = header
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers={name: form.format(key)}).status_code == 200


def test_what_is_no_key_is_refused_alike(live: Live, key: str) -> None:
    replies = {
        httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).json()["message"]
        for headers in (
            {},
            {"authorization": "Bearer"},
            {"authorization": "Bearer qr_live_abc"},
            {"authorization": f"Bearer {key[:-1]}"},
            {"authorization": "Basic dTpw"},
            {"x-api-key": b"\xff\xfe\xe9"},
        )
    }
    assert len(replies) == 1
    assert httpx2.post(f"{live.url}/v1/rerank?api_key={key}", json=BODY).status_code == 401


def test_a_key_in_two_places_counts_by_its_authorization(live: Live, key: str) -> None:
    headers = {"authorization": f"Bearer {generate()}", "x-api-key": key}
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).status_code == 401


@pytest.mark.parametrize("authorization", ["Basic dTpw", "Bearer", "Bearer sk-dummy", "dummy"])
@pytest.mark.parametrize("name", ["x-api-key", "api-key"])
def test_an_authorization_that_is_no_key_does_not_hide_one(live: Live, key: str, authorization: str, name: str) -> None:
    headers = {"authorization": authorization, name: key}
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).status_code == 200


def test_crawlers_are_told_to_read_nothing(live: Live) -> None:
    reply = httpx2.get(f"{live.url}/robots.txt")
    assert (reply.status_code, reply.text) == (200, "User-agent: *\nDisallow: /\n")


def test_addresses_of_clients_are_logged_only_if_they_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "qwen3_reranker")
    for asked in (False, True):
        caplog.clear()
        with live_server(log_addresses=asked) as live:
            httpx2.get(f"{live.url}/version")
        [facts] = [record.facts for record in caplog.records if hasattr(record, "facts")]
        assert facts.get("address") == ("127.0.0.1" if asked else None)


def test_scopes_and_models_are_kept_apart(live: Live, place: str) -> None:
    watcher = {"x-api-key": made(place, scopes=("metrics",))}
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=watcher).status_code == 403
    assert httpx2.get(f"{live.url}/metrics", headers=watcher).status_code == 200
    other = {"x-api-key": made(place, models=("another",))}
    assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=other).status_code == 403
    assert httpx2.get(f"{live.url}/metrics", headers=other).status_code == 403


def test_limits_and_credit_end_in_429_and_402_with_what_clients_read(live: Live, place: str) -> None:
    slow = {"x-api-key": made(place, limits=KeyLimits(requests=2))}
    replies = [httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=slow) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
    assert int(replies[2].headers["retry-after"]) >= 1
    assert replies[2].json()["error"]["type"] == "rate_limit_error"
    poor = {"x-api-key": made(place, credit=1)}
    reply = httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=poor)
    assert reply.status_code == 402
    assert reply.headers["x-should-retry"] == "false"


def test_what_was_answered_is_charged_and_told_and_nothing_else(live: Live, place: str) -> None:
    rich = {"x-api-key": made(place, credit=1_000_000_000)}
    tokens, cost = 0, 0.0
    for _ in range(3):
        usage = httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=rich).json()["usage"]
        tokens, cost = tokens + usage["total_tokens"], cost + usage["cost"]
    httpx2.post(f"{live.url}/v1/rerank", json={"query": ""}, headers=rich)

    def used() -> dict[str, float]:
        buckets = httpx2.get(f"{live.url}/v1/usage", headers=rich).json()["data"]
        [*_, last] = [result for bucket in buckets for result in bucket["results"]] or [{"num_model_requests": 0}]
        return last

    until(lambda: used()["num_model_requests"] == 3)
    assert used()["input_tokens"] == tokens
    credit = httpx2.get(f"{live.url}/v1/credits", headers=rich).json()["data"]
    assert credit["total_credits"] == 1.0
    assert credit["total_usage"] == pytest.approx(cost)
    assert cost == pytest.approx(tokens * 0.5e-6, rel=1e-3)
    facts = httpx2.get(f"{live.url}/v1/key", headers=rich).json()["data"]
    assert facts["limit_remaining"] == pytest.approx(1.0 - cost)


def test_a_revoked_key_stops_within_the_time_that_keys_are_remembered(live: Live, place: str) -> None:
    key = made(place)
    headers = {"x-api-key": key}
    assert httpx2.get(f"{live.url}/v1/models", headers=headers).status_code == 200
    store = Store(place)
    store.revoke(httpx2.get(f"{live.url}/v1/key", headers=headers).json()["data"]["id"])
    store.close()
    until(lambda: httpx2.get(f"{live.url}/v1/models", headers=headers).status_code == 401)


def test_a_store_that_cannot_be_reached_is_503_and_never_a_free_pass(tmp_path: Path) -> None:
    place = tmp_path / "keys.db"
    with live_server(keys=str(place), keys_cache=0.0, usage_flush=0.1, public_metrics=True) as live:
        key = made(str(place))
        headers = {"x-api-key": key}
        assert "rerank_accounts_up 1.0" in httpx2.get(f"{live.url}/metrics").text
        assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).status_code == 200
        # Not overwritten: SQLite maps one of its files into memory, and a process dies where that is cut.
        place.rename(tmp_path / "moved.db")
        until(lambda: "rerank_accounts_up 0.0" in httpx2.get(f"{live.url}/metrics").text)
        assert httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).status_code == 503
        assert httpx2.post(f"{live.url}/v1/rerank", json=BODY).status_code == 401
        (tmp_path / "moved.db").rename(place)
        until(lambda: httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers=headers).status_code == 200)
        until(lambda: "rerank_accounts_up 1.0" in httpx2.get(f"{live.url}/metrics").text)
