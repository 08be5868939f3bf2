"""Over HTTP the tools are there for programs on this machine, and for no page of another site."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.mcp import IndexTools, serve_http, tool_server
from qwen3_reranker.search import Index
from testing.patience import PATIENCE_SECONDS
from tests.mcp.conftest import answer_of, error_of

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get", "arguments": {"path": "git.md"}}}
HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


@pytest.fixture
def url(index: Index) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    running: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()
    server = tool_server(IndexTools(index), "1")
    thread = threading.Thread(target=serve_http, args=(server, 0, lambda *ready: running.put(ready)))
    thread.start()
    address, stop = running.get(timeout=PATIENCE_SECONDS)
    yield address
    stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def post(url: str, headers: Mapping[str, str] = {}, body: bytes | None = None) -> tuple[int, str]:
    """Status and text of a request, with other headers than a client's."""
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE_SECONDS)
    try:
        given = HEADERS | {"host": place.netloc} | headers
        connection.putrequest("POST", place.path, skip_host=True)
        content = json.dumps(CALL).encode() if body is None else body
        for name, value in given.items():
            connection.putheader(name, value)
        if "content-length" not in given:
            connection.putheader("content-length", str(len(content)))
        connection.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(content)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def test_the_official_client_finds_and_reads(url: str) -> None:
    async def calls(mode: str) -> None:
        async with Client(url, mode=mode) as client:
            assert client.instructions is not None
            assert "notes (4 files)" in client.instructions
            found = answer_of(await client.call_tool("search", {"query": "commit", "limit": 1}))
            [hit] = found["results"]
            lines = answer_of(await client.call_tool("get", {"path": hit["path"], "first_line": 3, "last_line": 3}))
            assert lines["text"] == "Move the branch one commit back."
            assert "unknown parameter 'lines'" in error_of(
                await client.call_tool("get", {"path": "git.md", "lines": 3})
            )

    for mode in ("auto", "legacy"):
        anyio.run(calls, mode)


def test_a_request_of_a_program_on_this_machine_is_answered(url: str) -> None:
    port = urlsplit(url).port
    for headers in ({}, {"host": f"localhost:{port}"}, {"origin": f"http://127.0.0.1:{port}"}):
        status, text = post(url, headers)
        assert status == 200
        assert "Move the branch" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "https://evil.example"), ("origin", "null"), ("origin", "http://localhost"),
        ("origin", "http://localhost:1"), ("origin", "http://127.0.0.1.evil.example:{port}"),
        ("origin", "http://localhost:{port}.evil.example"), ("origin", "http://localhost:{port}@evil.example"),
        ("origin", "https://localhost:{port}"),
        ("host", "evil.example"), ("host", "evil.example:{port}"), ("host", "127.0.0.1.evil.example:{port}"),
        ("host", "localhost:{port}.evil.example"), ("host", "localhost:1"), ("host", "0.0.0.0:{port}"), ("host", ""),
    ],
)  # fmt: skip
def test_a_foreign_origin_or_host_is_refused(url: str, name: str, value: str) -> None:
    status, text = post(url, {name: value.format(port=urlsplit(url).port)})
    assert status in (400, 403, 421)
    assert "Move the branch" not in text


def test_a_page_cannot_send_what_needs_no_permission_of_a_browser(url: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        status, text = post(url, {"content-type": kind})
        assert 400 <= status < 500
        assert "Move the branch" not in text


def test_a_body_that_is_too_large_is_refused_whether_its_size_is_said_or_not(url: str) -> None:
    assert post(url, {"content-length": str(1 << 40)}, b"{")[0] == 413
    assert post(url, body=b" " * (5 << 20))[0] == 413


def test_a_body_that_is_no_request_is_an_error_and_no_traceback(url: str) -> None:
    for body in (b"", b"{", b"[]", b"null", b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', b"[" * 100_000):
        status, text = post(url, body=body)
        assert 400 <= status < 500 or '"error"' in text
        assert "Traceback" not in text


def test_a_port_that_is_taken_is_an_error_that_names_it(url: str, index: Index) -> None:
    port = urlsplit(url).port
    assert port is not None
    with pytest.raises(UnavailableError, match=str(port)):
        serve_http(tool_server(IndexTools(index), "1"), port, lambda *_: None)
