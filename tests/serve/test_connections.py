"""Who holds connections, sends heads without end or does not listen is cut off; everybody else is served."""

import http.client
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress

import httpx2
import pytest

from qwen3_reranker.serve.connections import PHASE_SECONDS
from testing.live_server import Live, live_server, server_process
from testing.patience import PATIENCE_SECONDS, until

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"

REFERENCE = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n"
FEW_DESCRIPTORS = ("bash", "-c", 'ulimit -n 64; exec "$@"', "bash", sys.executable, "-m", "qwen3_reranker")


@pytest.fixture(scope="module")
def live():
    with live_server(header_timeout=1.0, body_timeout=PATIENCE_SECONDS) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory):
    with live_server(keys=str(tmp_path_factory.mktemp("keys") / "keys.db")) as running:
        yield running


def connect(live: Live) -> socket.socket:
    return socket.create_connection(("127.0.0.1", live.port), PATIENCE_SECONDS)


def exchange(live: Live, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    with connect(live) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


def sent_before_the_end(client: socket.socket, piece: bytes, most: int) -> int:
    """How often a piece can be sent until the server cuts the connection off."""
    for sent in range(most):
        try:
            client.sendall(piece)
        except ConnectionError:
            return sent
    return most


def metric(live: Live, line: str) -> float:
    text = httpx2.get(f"{live.url}/metrics").text
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_the_reply_to_head_comes_at_once_and_the_connection_goes_on(live: Live) -> None:
    head = HEAD.replace(b"GET", b"HEAD", 1)
    reply = exchange(live, head + b"\r\n" + head + b"\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert reply.count(b"HTTP/1.1 200 ") == 3
    assert reply.count(b'"live"') == 1


def test_a_request_needs_one_host_and_http_1_0_none(live: Live) -> None:
    assert exchange(live, b"GET /health/live HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert exchange(live, HEAD + b"Host: b\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert exchange(live, b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_what_is_no_request_gets_400_in_the_form_of_other_errors(live: Live) -> None:
    head, _, body = exchange(live, b"no request\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b'"code": "invalid_http"' in body


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"A: " + b"a" * 66_000 + b"\r\n\r\n",
        HEAD + b"A: a\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        HEAD + b"A: " + b"a" * 1_000_000,
        b"\r\n" * 500_000,
    ],
    ids=["a long one", "many", "the path", "without an end", "empty lines"],
)
def test_headers_of_more_than_64_kib_get_431(live: Live, head: bytes) -> None:
    assert exchange(live, head).startswith(b"HTTP/1.1 431 ")


def test_headers_of_60_kib_are_read(live: Live) -> None:
    assert exchange(live, HEAD + b"A: " + b"a" * 60_000 + b"\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_trailers_without_an_end_get_431(live: Live) -> None:
    head = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: "
    assert exchange(live, head + b"a" * 1_000_000).startswith(b"HTTP/1.1 431 ")


def test_a_request_to_change_the_protocol_is_answered_as_http_and_is_the_last(live: Live) -> None:
    reply = exchange(live, HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + HEAD + b"\r\n")
    assert reply.count(b"HTTP/1.1 200 ") == 1


def test_requests_without_end_on_one_connection_are_not_queued(live: Live) -> None:
    body = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 46\r\n\r\n"
    body += b'{"query": "a", "documents": ["b", "c", "dddd"]}'[:46]
    assert b" 400 " in exchange(live, body + (HEAD + b"\r\n") * 1000)


def test_a_few_requests_may_be_sent_before_their_replies_are_read(live: Live) -> None:
    reply = exchange(live, (HEAD + b"\r\n") * 5 + HEAD + b"Connection: close\r\n\r\n")
    assert reply.count(b"HTTP/1.1 200 ") == 6


def test_silent_and_trickling_connections_end_and_the_server_answers_meanwhile(live: Live) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(live)) for _ in range(100)]
        trickling = [stack.enter_context(connect(live)) for _ in range(20)]
        begin = time.monotonic()
        while time.monotonic() < begin + 0.9:
            for client in trickling:
                with suppress(OSError):
                    client.sendall(b"G" if time.monotonic() < begin + 0.05 else b"E")
            assert httpx2.get(f"{live.url}/health/live").status_code == 200
            time.sleep(0.1)
        for client in silent:
            assert client.recv(10) == b""
        for client in trickling:
            with suppress(ConnectionError):
                while client.recv(4096):
                    pass
    until(lambda: metric(live, "rerank_connections") == 1)


def test_a_connection_that_is_kept_has_its_full_time_for_the_next_headers(live: Live) -> None:
    with connect(live) as client:
        client.sendall(HEAD + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        time.sleep(2)
        client.sendall(HEAD + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /")
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("status", [401, 413])
def test_a_client_that_sends_40_mb_before_it_reads_sees_why_they_are_refused(
    live: Live, keyed: Live, status: int
) -> None:
    url = f"{(keyed if status == 401 else live).url}/v1/rerank"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, data=bytes(40 << 20)), timeout=PATIENCE_SECONDS)
    with caught.value as reply:
        assert reply.status == status
    assert httpx2.post(url, content=bytes(40 << 20)).status_code == status


def test_a_body_without_end_is_cut_off_after_its_refusal(keyed: Live) -> None:
    with connect(keyed) as client:
        client.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n")
        assert sent_before_the_end(client, bytes(1 << 20), 1000) < 200


def test_a_small_body_that_is_refused_costs_no_connection(keyed: Live) -> None:
    client = http.client.HTTPConnection("127.0.0.1", keyed.port, timeout=PATIENCE_SECONDS)
    for _ in range(3):
        client.putrequest("POST", "/v1/rerank")
        client.putheader("Content-Length", "1000")
        client.endheaders()
        reply = client.getresponse()
        assert (reply.status, reply.will_close) == (401, False)
        client.send(bytes(1000))
        reply.read()
    client.close()


def test_at_the_limit_a_silent_connection_makes_room_and_a_busy_one_does_not() -> None:
    busy = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
    with live_server(max_connections=4, body_timeout=PATIENCE_SECONDS) as live, ExitStack() as stack:
        silent = [stack.enter_context(connect(live)) for _ in range(4)]
        assert httpx2.get(f"{live.url}/health/live").status_code == 200
        with suppress(ConnectionError):
            assert silent[0].recv(1) == b""
        working = []
        for count in range(1, 5):
            working.append(stack.enter_context(connect(live)))
            working[-1].sendall(busy)
            until(lambda count=count: live.application.context.drain.in_flight == count)
        refused = httpx2.get(f"{live.url}/health/live")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "too_many_connections"
        working[0].sendall(bytes(10))
        assert working[0].recv(4096).startswith(b"HTTP/1.1 400 ")
        assert httpx2.get(f"{live.url}/health/live").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_reads_slowly_gets_everything_and_one_that_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    for phase in PHASE_SECONDS:
        monkeypatch.setitem(PHASE_SECONDS, phase, 0.6)
    many = 32
    with live_server() as live, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(("127.0.0.1", live.port))
        size = len(exchange(live, REFERENCE + b"Connection: close\r\n\r\n"))
        client.sendall((REFERENCE + b"\r\n") * many)
        if not reads:
            until(lambda: metric(live, "rerank_connections") == 1)
            return
        received = 0
        while received < many * (size - 100):
            time.sleep(0.02)
            piece = client.recv(1 << 17)
            assert piece, f"cut off after {received:,} bytes of {many * size:,}"
            received += len(piece)


@pytest.mark.slow
def test_a_server_with_64_descriptors_answers_beside_200_silent_connections() -> None:
    with server_process(program=FEW_DESCRIPTORS) as server, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS))
        for _ in range(20):
            assert httpx2.get(f"{server.url}/health/live").status_code == 200
        until(lambda: any("connections are open, the limit" in line for line in server.log))
        assert sum("connections are open" in line for line in server.log) == 1


@pytest.mark.slow
def test_300_mb_of_headers_are_refused_and_take_no_memory() -> None:
    with server_process() as server:
        httpx2.get(f"{server.url}/health/live")
        before = server.resident_bytes()
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as client:
            client.sendall(HEAD)
            assert sent_before_the_end(client, b"A: " + b"a" * (1 << 20) + b"\r\n", 300) < 200
        assert server.resident_bytes() - before < 20 << 20
