"""The end of a server that is told to stop: who is inside gets an answer, who comes late gets told."""

import contextlib
import threading
from collections.abc import Iterator

import httpx2

from testing.live_server import Live, live_server
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
        assert watch.entered.acquire(timeout=PATIENCE_SECONDS)
        live.stop()
        until(lambda: live.application.context.drain.is_draining)
        yield live, watch, replies
        inside.join(PATIENCE_SECONDS)
        watch.door.set()
    assert len(replies) == 1


def test_who_comes_when_the_server_ends_gets_503_at_once_and_who_is_inside_an_answer() -> None:
    with held(shutdown_timeout=PATIENCE_SECONDS) as (live, watch, replies):
        late = httpx2.post(f"{live.url}/v1/rerank", json=BODY)
        assert late.status_code == 503
        assert late.json()["error"]["code"] == "draining"
        assert late.headers["connection"] == "close"
        assert int(late.headers["retry-after"]) >= 1
        watch.door.set()
    assert replies[0].status_code == 200


def test_requests_that_outlast_the_time_for_ending_get_503() -> None:
    with held(shutdown_timeout=0.2) as (_, _, replies):
        pass
    assert replies[0].status_code == 503
    assert replies[0].json()["error"]["code"] == "draining"
