"""The end of a server that is told to stop: who is inside gets an answer, who comes late gets told."""

import contextlib
import http.client
import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import httpx2
import pytest

from testing.live_server import Live, live_server, server_process
from testing.patience import PATIENCE_SECONDS, until
from testing.watch import Watch

BODY = {"query": "a", "documents": ["b"]}


@contextlib.contextmanager
def held(**fields: float) -> Iterator[tuple[Live, Watch, list[httpx2.Response]]]:
    """A server that was told to stop while a request is inside, which a shut door holds; the reply comes at the end."""
    with live_server(timeout=PATIENCE_SECONDS, **fields) as live:
        [model] = live.application.context.models.rerankers
        watch = Watch(model.reranker)
        model.scheduler.scorer = watch
        watch.door.clear()
        replies: list[httpx2.Response] = []
        inside = threading.Thread(target=lambda: replies.append(httpx2.post(f"{live.url}/v1/rerank", json=BODY)))
        inside.start()
        try:
            assert watch.entered.acquire(timeout=PATIENCE_SECONDS)
            yield live, watch, replies
            inside.join(PATIENCE_SECONDS)
        finally:
            watch.door.set()
    assert len(replies) == 1


def stop(live: Live) -> None:
    live.stop()
    until(lambda: live.application.context.drain.is_draining)


def test_when_the_server_ends_open_connections_get_503_new_ones_are_refused_and_who_is_inside_gets_an_answer() -> None:
    with (
        held(shutdown_timeout=PATIENCE_SECONDS) as (live, watch, replies),
        httpx2.Client(base_url=live.url) as before,
    ):
        assert before.get("/health/ready").status_code == 200
        stop(live)
        late = before.post("/v1/rerank", json=BODY)
        assert late.status_code == 503
        assert late.json()["error"]["code"] == "draining"
        assert late.headers["connection"] == "close"
        assert int(late.headers["retry-after"]) >= 1
        with pytest.raises(httpx2.ConnectError):
            httpx2.post(f"{live.url}/v1/rerank", json=BODY)
        watch.door.set()
    assert replies[0].status_code == 200


@pytest.mark.slow
def test_connections_that_wait_to_be_accepted_when_the_server_ends_are_answered() -> None:
    with server_process() as server, contextlib.ExitStack() as stack:
        server.tell(signal.SIGSTOP)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS))
            for _ in range(200)
        ]
        for client in clients:
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.tell(signal.SIGTERM)
        server.tell(signal.SIGCONT)
        replies = [client.recv(10_000) for client in clients]
        assert {reply[:12] for reply in replies} <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
        assert server.wait() == 0


def test_while_load_balancers_learn_of_the_end_the_server_answers_as_before() -> None:
    with live_server(drain_delay=1.0) as live:
        live.stop()
        until(lambda: httpx2.get(f"{live.url}/health/ready").status_code == 503)
        assert httpx2.post(f"{live.url}/v1/rerank", json=BODY).status_code == 200


def test_requests_that_outlast_the_time_for_ending_get_503() -> None:
    with held(shutdown_timeout=0.2) as (live, _, replies):
        stop(live)
    assert replies[0].status_code == 503
    assert replies[0].json()["error"]["code"] == "draining"


@pytest.mark.slow
@pytest.mark.parametrize("run", range(3))
def test_a_signal_to_end_resets_nobodys_connection(run: int) -> None:
    with server_process("--log-format", "json") as server:
        outcomes: list[Counter[str]] = [Counter() for _ in range(8)]

        def ask_until_refused(outcome: Counter[str], keeps: bool) -> None:
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
            while True:
                try:
                    client.request("POST", "/v1/rerank", json.dumps(BODY))
                    reply = client.getresponse()
                    reply.read()
                    outcome[str(reply.status)] += 1
                    if not keeps:
                        client.close()
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    outcome[repr(error)] += 1
                    return

        clients = [
            threading.Thread(target=ask_until_refused, args=(outcome, number % 2 == 0))
            for number, outcome in enumerate(outcomes)
        ]
        for client in clients:
            client.start()
        until(lambda: all(outcome["200"] for outcome in outcomes))
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
        for client in clients:
            client.join(PATIENCE_SECONDS)
    assert set().union(*outcomes) <= {"200", "503"}
