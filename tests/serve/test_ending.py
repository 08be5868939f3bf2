"""The end of a server that is told to stop: who is inside gets an answer, who comes late gets told."""

import threading

import httpx2

from tests.testing.live_server import live_server, until
from tests.testing.watch import Watch

BODY = {"query": "a", "documents": ["b"]}


def test_requests_that_outlast_the_time_for_ending_get_503_and_new_ones_at_once() -> None:
    with live_server(shutdown_timeout=0.5, timeout=30) as live:
        [model] = live.application.context.models.rerankers
        watch = Watch(model.reranker)
        model.scheduler.watch(watch)
        watch.door.clear()
        replies: list[httpx2.Response] = []
        inside = threading.Thread(
            target=lambda: replies.append(httpx2.post(f"{live.url}/v1/rerank", json=BODY, timeout=30))
        )
        inside.start()
        assert watch.entered.acquire(timeout=10)
        live.stop()
        until(lambda: live.application.door.is_draining)
        late = httpx2.post(f"{live.url}/v1/rerank", json=BODY)
        assert late.status_code == 503
        assert late.json()["error"]["code"] == "draining"
        assert late.headers["connection"] == "close"
        assert int(late.headers["retry-after"]) >= 1
        inside.join(timeout=10)
        watch.door.set()
    [held] = replies
    assert held.status_code == 503
    assert held.json()["error"]["code"] == "draining"
