"""deploy/nginx.conf: two processes behind one address answer as one, with one quota, and one may end."""

import contextlib
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import ServerProcess, server_process
from testing.local_server import Quiet, free_port, serving
from testing.patience import PATIENCE_SECONDS, until

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx.conf"
BODY = {"query": "how do I undo a commit", "documents": ["git revert", "a cat", "rain tomorrow"]}
# Dollars a million tokens, and those of a request.
PRICE, CREDIT = 1000, 40
SETTINGS = {
    "QWEN3_RERANKER_MODELS": json.dumps([{"source": "nano", "price": str(PRICE)}]),
    "QWEN3_RERANKER_USAGE_FLUSH": "0.1",
    "QWEN3_RERANKER_KEYS_CACHE": "0.2",
    "QWEN3_RERANKER_PUBLIC_METRICS": "true",
}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")]


@contextlib.contextmanager
def balanced(folder: Path, ports: list[int]) -> Iterator[str]:
    """nginx with the configuration that is shipped, on free ports."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    own = free_port()
    for shipped, port in zip((8000, 8001, 8002), (own, *ports), strict=True):
        assert text.count(f"127.0.0.1:{shipped}") == 1
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{port}")
    path = folder / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    nginx = subprocess.Popen(["nginx", "-e", "stderr", "-p", folder, "-c", path])
    try:
        url = f"http://127.0.0.1:{own}"
        until(lambda: answers(f"{url}/health/live"))
        yield url
    finally:
        nginx.terminate()
        nginx.wait(PATIENCE_SECONDS)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.HTTPError:
        return False


def answered(server: ServerProcess) -> int:
    """Rerank requests that this process has answered."""
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("rerank_requests_total{") and '"/v1/rerank"' in line]
    return sum(int(float(line.split()[-1])) for line in counted if 'status="200"' in line)


def test_two_processes_behind_nginx_share_the_load_and_one_quota_and_one_may_end(tmp_path: Path) -> None:
    place = str(tmp_path / "keys.db")
    store = Store(place)
    text, _ = store.create_key("balanced", credit=CREDIT * 10**9)
    store.close()
    arguments = ("--keys", place)
    with (
        server_process(*arguments, environment=SETTINGS) as one,
        server_process(*arguments, environment=SETTINGS) as other,
        balanced(tmp_path, [one.port, other.port]) as url,
        httpx2.Client(headers={"X-Api-Key": text}, timeout=PATIENCE_SECONDS) as client,
        ThreadPoolExecutor(8) as threads,
    ):

        def ask(_number: int) -> tuple[int, int]:
            reply = client.post(f"{url}/v1/rerank", json=BODY)
            return reply.status_code, reply.json().get("usage", {}).get("prompt_tokens", 0)

        first = list(threads.map(ask, range(60)))
        assert Counter(status for status, _ in first) == {200: 60}
        # How many each gets depends on how fast it is.
        assert answered(one) > 0
        assert answered(other) > 0
        assert answered(one) + answered(other) == 60
        assert client.get(f"{url}/metrics").status_code == 404
        # One process ends while requests arrive, and no client sees it.
        running = [threads.submit(ask, number) for number in range(40)]
        one.process.terminate()
        assert Counter(each.result()[0] for each in running) == {200: 40}
        assert one.wait() == 0
        # Each has heard what the other has charged.
        time.sleep(0.5)
        dollars = PRICE * first[0][1] / 10**6
        left = int(CREDIT / dollars) - 100
        assert left > 0
        assert Counter(ask(number)[0] for number in range(left + 5)) == {200: left, 402: 5}


def test_without_capacity_every_client_gets_the_503_of_a_process_with_its_retry_after(tmp_path: Path) -> None:
    class Busy(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(503)

        def reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Retry-After", "2")
            self.send_header("Content-Length", "0")
            self.end_headers()

    with (
        serving(Busy) as one,
        serving(Busy) as other,
        balanced(tmp_path, [int(each.rpartition(":")[2]) for each in (one, other)]) as url,
    ):
        replies = [httpx2.post(f"{url}/v1/rerank", json=BODY) for _ in range(5)]
        assert [(reply.status_code, reply.headers.get("Retry-After")) for reply in replies] == [(503, "2")] * 5
