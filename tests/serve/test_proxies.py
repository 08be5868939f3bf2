"""Behind a proxy: below a path, with its word for the scheme, and on a unix socket."""

import re
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.serve.listening import listen_unix
from qwen3_reranker.serve.settings import ServerSettings
from testing.live_server import live_server, server_process

BODY = {"query": "a", "documents": ["b"]}


def test_below_a_path_every_link_and_asset_of_every_page_is_there_once_a_proxy_has_removed_the_path() -> None:
    with live_server(root_path="/rerank") as live, httpx2.Client(base_url=live.url) as client:
        seen, waiting = {"/rerank/"}, ["/rerank/"]
        while waiting:
            page = waiting.pop()
            # What a proxy does: its path ends where the server's begins.
            reply = client.get(page.removeprefix("/rerank"))
            assert reply.status_code == 200, page
            if not reply.headers["content-type"].startswith("text/html"):
                continue
            for address in re.findall(r'(?:href|src)="(/[^"#?]*)', reply.text):
                assert address.startswith("/rerank/"), f"{page} links to {address}"
                if address not in seen:
                    seen.add(address)
                    waiting.append(address)
        assert {"/rerank/models", "/rerank/keys", "/rerank/openapi.json"} <= seen
        assert f"{live.url}/rerank/v1/rerank" in client.get("/models/nano").text
        assert client.get("/openapi.json").json()["servers"] == [{"url": "/rerank"}]


def test_below_a_path_requests_and_keys_work_and_a_path_may_be_that_of_a_route(tmp_path: Path) -> None:
    with live_server(root_path="/rerank") as live:
        for path in ("/rerank", "/rerank/", "/v1/rerank"):
            assert httpx2.post(live.url + path, json=BODY).status_code == 200, path
        assert httpx2.get(f"{live.url}/health/").status_code == 200
    with live_server(root_path="/a", keys=str(tmp_path / "keys.db")) as live:
        assert httpx2.get(f"{live.url}/health/ready").status_code == 200
        assert httpx2.get(f"{live.url}/models").status_code == 200
        assert httpx2.get(f"{live.url}/v1/models").status_code == 401


@pytest.mark.parametrize(("trusted", "scheme"), [(["127.0.0.1"], "https"), (["10.0.0.0/8"], "http")])
def test_only_a_trusted_proxy_says_that_the_client_came_by_https(trusted: list[str], scheme: str) -> None:
    with live_server(trusted_proxies=trusted) as live:
        page = httpx2.get(
            f"{live.url}/models/nano", headers={"x-forwarded-proto": "https", "x-forwarded-prefix": "/evil"}
        ).text
    assert f"{scheme}://127.0.0.1:{live.port}/v1" in page
    assert "/evil" not in page


@pytest.mark.parametrize("root_path", ["rerank", "/rerank/", "/", "/a b", '/"', "//a"])
def test_a_path_that_is_none_is_refused(root_path: str) -> None:
    with pytest.raises(InputError, match="root_path"):
        ServerSettings(root_path=root_path)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(InputError, match="trusted_proxies"):
        ServerSettings(trusted_proxies=("proxy.example",))


def test_a_stale_unix_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with listen_unix(str(path)):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(UnavailableError, match="another server listens there"):
            listen_unix(str(path))
        assert path.is_socket()
    assert not path.exists()
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UnavailableError, match="no socket"):
        listen_unix(str(path))
    assert path.read_text(encoding="utf-8") == "mine"
    with pytest.raises(UnavailableError, match="No such file"):
        listen_unix(str(tmp_path / "none" / "server.sock"))


def test_a_server_that_ends_leaves_the_socket_of_the_one_that_replaced_it(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with listen_unix(str(path)):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
            path.stat()
    assert path.is_socket()


@pytest.mark.slow
def test_a_server_on_a_unix_socket_believes_its_proxy_and_takes_the_socket_away_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with (
        server_process("--unix-socket", str(path)) as server,
        httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://localhost") as client,
    ):
        assert client.post("/v1/rerank", json=BODY).status_code == 200
        page = client.get("/models/nano", headers={"x-forwarded-proto": "https"}).text
        assert "https://localhost/v1" in page
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
    assert not path.exists()
