"""What a caller's deadline or leaving ends is charged for what was computed; what the server fails at costs nothing."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from qwen3_reranker.serve.accounts.key_records import KeyLimits
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.accounts.tables import USAGE
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS, until
from testing.watch import Watch

pytestmark = pytest.mark.slow

DOCUMENTS = [f"Section {n} of the handbook says what to do in case {n}." for n in range(100)]
BODY = {"query": "what to do", "documents": DOCUMENTS}


@pytest.fixture
def live(tmp_path: Path):
    model = {"source": "nano", "price": "0.5", "options": {"max_batch_tokens": 256}}
    with live_server(
        models=[model], timeout=PATIENCE_SECONDS, keys=str(tmp_path / "keys.db"), usage_flush=0.05
    ) as running:
        yield running


@pytest.fixture
def store(live: Live, tmp_path: Path):
    opened = Store(str(tmp_path / "keys.db"), create=False)
    yield opened
    opened.close()


def usage(store: Store) -> list[Any]:
    """All rows of usage, the newest last."""
    with store._database.reading() as connection:
        return list(connection.execute(select(USAGE).order_by(USAGE.c.time)))


def post(live: Live, key: str, seconds: float | None = None, **fields: Any) -> httpx2.Response:
    headers = {"x-api-key": key, **({} if seconds is None else {"x-request-timeout": str(seconds)})}
    return httpx2.post(f"{live.url}/v1/rerank", json={**BODY, **fields}, headers=headers)


def test_a_deadline_costs_the_pairs_that_had_begun_and_a_finished_request_all_of_them(
    live: Live, watch: Watch, store: Store
) -> None:
    key, record = store.create_key("a", credit=10**9, limits=KeyLimits(tokens=100_000))
    began = time.monotonic()
    whole = post(live, key)
    assert whole.status_code == 200
    tokens = whole.json()["usage"]["total_tokens"]
    until(lambda: len(usage(store)) == 1)
    [row] = usage(store)
    assert (row.status, row.documents, row.prompt_tokens) == (200, 100, tokens)
    assert tokens == sum(len(each.ids) for batch in watch.batches for each in batch)

    watch.batches.clear()
    watch.door.clear()
    # Time enough for a batch to begin, however loaded the machine is; the door holds it.
    late = post(live, key, seconds=2)
    assert late.status_code == 504
    begun = [len(each.ids) for batch in watch.batches for each in batch]
    watch.door.set()
    assert 0 < len(begun) < 50
    until(lambda: len(usage(store)) == 2)
    [cut] = [each for each in usage(store) if each.status == 504]
    assert (cut.documents, cut.prompt_tokens) == (len(begun), sum(begun))
    assert 0 < cut.computed_tokens <= row.computed_tokens * len(begun) / 100 + 256
    assert cut.cost == sum(begun) * 500
    until(lambda: store.key(record.id).credit_used == row.cost + cut.cost)  # type: ignore[union-attr]
    left = int(post(live, key, documents=["a"]).headers["x-ratelimit-remaining-tokens"])
    filled = 100_000 * (time.monotonic() - began) / 60
    assert 100_000 - tokens - sum(begun) - 300 <= left <= 100_000 - tokens - sum(begun) + filled


def test_a_client_that_leaves_pays_what_had_begun(live: Live, watch: Watch, store: Store) -> None:
    key, _ = store.create_key("a", credit=10**9)
    body = json.dumps(BODY).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    watch.door.clear()
    with socket.create_connection(("127.0.0.1", live.port)) as client:
        client.sendall(head.encode() + body)
        until(lambda: len(watch.batches) == 1)
    until(lambda: len(usage(store)) == 1)
    watch.door.set()
    [row] = usage(store)
    assert (row.status, row.documents) == (499, len(watch.batches[0]))
    assert row.prompt_tokens == sum(len(each.ids) for each in watch.batches[0])


def test_what_only_waited_and_what_the_server_failed_at_cost_nothing(live: Live, watch: Watch, store: Store) -> None:
    key, record = store.create_key("a", credit=10**9)
    other, _ = store.create_key("b")
    watch.door.clear()
    first = threading.Thread(target=post, args=(live, other), kwargs={"documents": DOCUMENTS[:3]})
    first.start()
    assert watch.entered.acquire(timeout=PATIENCE_SECONDS)
    try:
        # 503 where the server knows by now how long the batch before takes.
        assert post(live, key, seconds=0.5, documents=DOCUMENTS[:2]).status_code in (503, 504)
    finally:
        watch.door.set()
        first.join()
    watch.fails = lambda _row: True
    assert post(live, key, documents=DOCUMENTS[:3]).status_code == 500
    until(lambda: len(usage(store)) == 1)
    live.application.context.accounts.flush()  # type: ignore[union-attr]
    assert [row.key_id for row in usage(store)] != [record.id]
    assert store.key(record.id).credit_used == 0  # type: ignore[union-attr]


def test_a_small_credit_no_longer_computes_without_end(live: Live, watch: Watch, store: Store) -> None:
    key, record = store.create_key("a", credit=6_000_000)
    statuses = []
    while 402 not in statuses and len(statuses) < 50:
        watch.door.clear()
        statuses.append(post(live, key, seconds=0.5).status_code)
        watch.door.set()
        # The batch ends before the next request is admitted, which would else be told that it would be late.
        until(lambda: not live.application.context.models.rerankers[0].scheduler.stats().batch_seconds)
    assert statuses[-1] == 402
    assert 504 in statuses
    live.application.context.accounts.flush()  # type: ignore[union-attr]
    assert 0 < store.key(record.id).credit_used <= 6_000_000  # type: ignore[union-attr]
