"""A thousand requests at once, and the ends of a server: nothing accepted is lost."""

import asyncio
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import ServerProcess, server_process
from testing.patience import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow

DOCUMENTS = [f"Section {n} of the handbook says what a person should do in case {n}." for n in range(24)]


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "keys.db")


@pytest.fixture
def key(place: str) -> str:
    store = Store(place)
    try:
        return store.create_key("load")[0]
    finally:
        store.close()


def written(place: str) -> int:
    """Requests in the usage of all keys."""
    store = Store(place)
    try:
        now = int(time.time())
        return sum(
            each.requests
            for known in store.all_keys()
            for each in store.usage(known.id, now - 86_400, now + 86_400, 3600)
        )
    finally:
        store.close()


async def ask(port: int, key: str, number: int, seconds: float = PATIENCE_SECONDS) -> int:
    """The status of one request on a connection of its own; 0 for none."""
    body = json.dumps({"query": f"question {number}", "documents": DOCUMENTS}).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(head.encode() + body)
                await writer.drain()
                answer = await reader.read(200)
                return int(answer.split(b" ", 2)[1]) if answer else 0
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0


def ready(server: ServerProcess) -> bool:
    return httpx2.get(f"{server.url}/health/ready").status_code == 200


def taken(server: ServerProcess) -> int:
    """Rerank requests that are inside or answered."""
    text = httpx2.get(f"{server.url}/metrics").text
    counted = r'^rerank_requests_(?:total{.*route="/v1/rerank".*}|in_flight) (\S+)$'
    return int(sum(map(float, re.findall(counted, text, re.MULTILINE)))) - 1  # the one that asks


def test_a_thousand_requests_at_once_are_answered_or_told_to_come_again(place: str, key: str) -> None:
    async def flood(port: int) -> list[int]:
        return await asyncio.gather(*(ask(port, key, number) for number in range(1000)))

    # So long a time that none ends on a slow machine: those that are told to come again find no room.
    with server_process("--keys", place, "--timeout", str(PATIENCE_SECONDS)) as server:
        before = server.resident_bytes()
        statuses = Counter(asyncio.run(flood(server.port)))
        assert set(statuses) == {200, 503}, statuses
        assert statuses[200] >= 100
        assert server.resident_bytes() - before < 300 << 20
        # The next request finds no trace of the flood.
        assert asyncio.run(ask(server.port, key, 0)) == 200
        assert ready(server)
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
    assert written(place) == statuses[200] + 1


def test_sigterm_under_load_ends_readiness_first_loses_no_accepted_request_and_exits_with_0(
    place: str, key: str
) -> None:
    async def load(server: ServerProcess) -> tuple[list[int], list[int]]:
        asked = [asyncio.create_task(ask(server.port, key, number)) for number in range(120)]
        while await asyncio.to_thread(taken, server) < 120:
            await asyncio.sleep(0.01)
        server.tell(signal.SIGTERM)
        while await asyncio.to_thread(ready, server):
            await asyncio.sleep(0.01)
        late = await asyncio.gather(*(ask(server.port, key, number) for number in range(5)))
        return await asyncio.gather(*asked), late

    environment = {"QWEN3_RERANKER_DRAIN_DELAY": "5", "QWEN3_RERANKER_PUBLIC_METRICS": "true"}
    with server_process("--keys", place, environment=environment) as server:
        accepted, late = asyncio.run(load(server))
        assert server.wait() == 0, server.log
    assert Counter(accepted) == {200: 120}
    # During the delay new requests are still taken: a load balancer has not yet noticed.
    assert set(late) <= {200, 503}
    assert written(place) == 120 + late.count(200)


def test_a_second_signal_ends_the_server_at_once(place: str, key: str) -> None:
    with server_process(environment={"QWEN3_RERANKER_DRAIN_DELAY": "3600"}) as server:
        server.tell(signal.SIGTERM)
        until(lambda: not ready(server))
        assert server.process.poll() is None
        server.tell(signal.SIGINT)
        server.wait()


def test_kill_9_loses_at_most_the_flush_interval_of_usage_and_nothing_else(place: str, key: str) -> None:
    async def load(port: int, count: int) -> list[int]:
        return [await ask(port, key, number) for number in range(count)]

    with server_process("--keys", place, environment={"QWEN3_RERANKER_USAGE_FLUSH": "0.5"}) as server:
        assert set(asyncio.run(load(server.port, 20))) == {200}
        until(lambda: written(place) == 20)
        assert set(asyncio.run(load(server.port, 10))) == {200}
        server.tell(signal.SIGKILL)
        server.wait()
    assert 20 <= written(place) <= 30
    with server_process("--keys", place) as server:
        assert asyncio.run(ask(server.port, key, 0)) == 200
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
    assert 21 <= written(place) <= 31
