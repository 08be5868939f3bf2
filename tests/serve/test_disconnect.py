"""Who goes away is not computed for; who asks for less time gets less."""

import json
import socket

import httpx2
import pytest

from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS, until
from testing.watch import Watch

pytestmark = pytest.mark.slow

DOCUMENTS = [f"Section {n} of the handbook says what to do in case {n}." for n in range(200)]


@pytest.fixture
def live():
    with live_server(
        models=[{"source": "nano", "options": {"max_batch_tokens": 256}}], timeout=PATIENCE_SECONDS
    ) as running:
        yield running


def request(live: Live, documents: list[str]) -> bytes:
    body = json.dumps({"query": "what to do", "documents": documents}).encode()
    return b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def test_after_a_client_has_gone_no_further_batch_holds_its_pairs(live: Live, watch: Watch) -> None:
    watch.door.clear()
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(request(live, DOCUMENTS))
        until(lambda: len(watch.batches) == 1)
    in_flight = watch.num_rows
    assert in_flight < len(DOCUMENTS) / 4
    [model] = live.application.context.models.rerankers
    until(lambda: model.scheduler.stats().waiting_requests == 0)
    watch.door.set()
    reply = httpx2.post(f"{live.url}/v1/rerank", json={"query": "a", "documents": ["b"]})
    assert reply.status_code == 200
    assert watch.num_rows == in_flight + 1
    metrics = httpx2.get(f"{live.url}/metrics").text
    assert 'rerank_cancelled_total{model="nano"} 1.0' in metrics


@pytest.mark.parametrize("header", ["x-request-timeout", "x-stainless-read-timeout"])
def test_a_request_ends_when_its_client_stops_waiting(live: Live, watch: Watch, header: str) -> None:
    watch.door.clear()
    reply = httpx2.post(f"{live.url}/v1/rerank", json={"query": "a", "documents": ["b"]}, headers={header: "0.3"})
    assert reply.status_code == 504
    assert reply.json()["error"]["code"] == "deadline_exceeded"
    watch.door.set()


def test_a_time_that_is_none_is_as_good_as_not_given(live: Live) -> None:
    body = {"query": "a", "documents": ["b"]}
    for value in ("soon", "-1", "nan", "0", "1e999"):
        reply = httpx2.post(f"{live.url}/v1/rerank", json=body, headers={"x-request-timeout": value})
        assert reply.status_code == 200, value
