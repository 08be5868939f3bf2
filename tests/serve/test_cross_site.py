"""Pages of other sites: without keys they are refused, by Host and by Origin; listed sites are let in by CORS."""

from collections.abc import Iterator

import httpx2
import pytest

from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import Live, live_server

BODY = {"query": "q", "documents": ["a"]}
APP = "https://app.example"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_server(cors_origins=[APP]) as running:
        yield running


def status(live: Live, method: str = "POST", path: str = "/v1/rerank", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = BODY if method == "POST" else None
    return httpx2.request(method, live.url + path, json=body, headers=named).status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/v1/rerank", "/metrics", "/", "/v1/models", "/nothing"])
def test_a_foreign_host_name_is_refused_without_keys(live: Live, host: str, path: str) -> None:
    reply = httpx2.request("POST" if path == "/v1/rerank" else "GET", live.url + path, headers={"host": host})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "host_not_allowed"
    assert "allowed_hosts" in reply.json()["message"]


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "localhost.", "127.0.0.1:9", "[::1]:8000", "192.0.2.7"])
def test_own_names_and_addresses_are_answered_with_any_port(live: Live, host: str) -> None:
    assert status(live, host=host) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", "sec_fetch_site": "cross-site", "content_type": "text/plain"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {"origin": "https://app.example.evil.example"},
    ],
)
def test_a_page_of_another_site_is_refused_without_keys(live: Live, headers: dict[str, str]) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = httpx2.post(f"{live.url}/v1/rerank", content=b'{"query": "q", "documents": ["a"]}', headers=named)
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "cross_site_request"
    assert "cors_origins" in reply.json()["message"]
    assert "access-control-allow-origin" not in reply.headers


def test_own_pages_and_programs_are_served(live: Live) -> None:
    assert status(live) == 200
    assert status(live, origin=live.url) == 200
    assert status(live, origin=live.url, sec_fetch_site="same-origin") == 200
    assert status(live, sec_fetch_site="none") == 200


def test_an_address_may_be_opened_from_a_link_anywhere_but_not_read_by_a_script(live: Live) -> None:
    for path in ("/", "/models", "/models/nano"):
        assert status(live, "GET", path, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
        assert status(live, "GET", path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403


def test_health_checks_are_answered_whatever_their_headers_say(live: Live) -> None:
    for path in ("/health", "/health/live", "/health/ready", "/ping"):
        assert status(live, "GET", path, host="10.1.2.3:8000") == 200
        assert status(live, "GET", path, host="pod.example", sec_fetch_site="cross-site") == 200


def preflight(live: Live, origin: str) -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
        "sec-fetch-site": "cross-site",
    }
    return httpx2.options(f"{live.url}/v1/rerank", headers=headers)


def assert_cors_of(live: Live, **key: str) -> None:
    """A listed site may ask, call and read, errors too; another one may not."""
    asked = preflight(live, APP)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == APP
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "access-control-allow-credentials" not in asked.headers
    for body, expected in ((BODY, 200), ({}, 400)):
        headers = {"origin": APP, "sec-fetch-site": "cross-site", **key}
        reply = httpx2.post(f"{live.url}/v1/rerank", json=body, headers=headers)
        assert reply.status_code == expected
        assert reply.headers["access-control-allow-origin"] == APP
        exposed = reply.headers["access-control-expose-headers"].split(", ")
        assert {"retry-after", "x-calibrated", "x-cascade", "x-screening"} <= set(exposed)
    refused = preflight(live, "https://evil.example")
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    assert "Origin" in refused.headers["vary"]


def test_pages_of_a_listed_site_may_call_a_server_without_keys(live: Live) -> None:
    assert_cors_of(live)


def test_pages_of_a_listed_site_may_call_a_server_with_keys_which_asks_them_for_one(tmp_path) -> None:
    place = str(tmp_path / "keys.db")
    with live_server(keys=place, cors_origins=[APP]) as live:
        store = Store(place)
        key = store.create_key("tests")[0]
        store.close()
        assert_cors_of(live, authorization=f"Bearer {key}")
        reply = httpx2.post(f"{live.url}/v1/rerank", json=BODY, headers={"origin": APP})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, APP)
        # A key says more than a header: pages and names of other sites need nothing else.
        assert status(live, authorization=f"Bearer {key}", host="any.example", origin="https://evil.example") == 200


def test_without_listed_sites_there_is_no_cors() -> None:
    with live_server() as live:
        reply = preflight(live, APP)
        assert reply.status_code == 403
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_names_are_added_by_a_setting() -> None:
    with live_server(allowed_hosts=["rerank.example"]) as live:
        assert status(live, host="rerank.example:8000") == 200
        assert status(live, host="evil.example") == 403
    with live_server(allowed_hosts=["*"]) as live:
        assert status(live, host="evil.example") == 200


def test_a_public_server_without_keys_answers_any_name_but_no_page_of_another_site() -> None:
    with live_server(host="0.0.0.0", allow_public=True) as live:
        assert status(live, host="box.example") == 200
        assert status(live, host="box.example", origin="http://box.example") == 200
        assert status(live, host="box.example", origin="http://evil.example") == 403
