"""Work on texts takes turns between tenants, and what is cancelled is forgotten before its memory is given back."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from starlette.requests import Request

from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.request_body import Bodies
from qwen3_reranker.serve.settings import ServerSettings
from qwen3_reranker.serve.workers import Workers
from testing.patience import PATIENCE_SECONDS


def nothing() -> None:
    pass


def upload(size: int) -> Request:
    return Request({"type": "http", "method": "POST", "headers": [(b"content-length", b"%d" % size)]})


async def blocked(workers: Workers) -> tuple[threading.Event, list["asyncio.Task[bool]"]]:
    """All threads at work until the event is set."""
    door, entered = threading.Event(), threading.Semaphore(0)

    def work() -> bool:
        entered.release()
        return door.wait(PATIENCE_SECONDS)

    tasks = [
        asyncio.ensure_future(workers.run("block", work, tenant=99, size=1, on_end=nothing))
        for _ in range(Workers.NUM_THREADS)
    ]
    for _ in tasks:
        assert await asyncio.to_thread(entered.acquire, timeout=PATIENCE_SECONDS)
    return door, tasks


def run(scenario: Callable[[Workers], "asyncio.Future[None]"]) -> None:
    workers = Workers(Metrics("test"))
    try:
        asyncio.run(scenario(workers))  # type: ignore[arg-type]
    finally:
        workers.close()


def test_tenants_take_turns_and_small_work_overtakes_large() -> None:
    async def scenario(workers: Workers) -> None:
        order: list[str] = []
        door, tasks = await blocked(workers)
        waiting = [("large 1", 1, 1000), ("large 2", 1, 1000), ("small", 1, 10), ("another's", 2, 1000)]
        for name, tenant, size in waiting:
            done = workers.run("note", lambda name=name: order.append(name), tenant=tenant, size=size, on_end=nothing)
            tasks.append(asyncio.ensure_future(done))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        door.set()
        await asyncio.gather(*tasks)
        # Two threads may end neighbours in either order.
        assert set(order[:2]) == {"small", "another's"}

    run(scenario)  # type: ignore[arg-type]


def test_a_deadline_ends_the_wait_at_once_and_bytes_are_held_until_the_work_ends() -> None:
    async def scenario(workers: Workers) -> None:
        bodies = Bodies(ServerSettings(max_bodies_bytes=5000, max_body_bytes=4000))
        door, entered, freed = threading.Event(), threading.Event(), asyncio.Event()

        def work() -> bool:
            entered.set()
            return door.wait(PATIENCE_SECONDS)

        def ended() -> None:
            held.release()
            freed.set()

        with pytest.raises(TimeoutError), bodies.hold(upload(3000), 0) as held:  # noqa: PT012 - what is timed
            async with asyncio.timeout(0.1):
                held.keep()
                await workers.run("block", work, tenant=0, size=3000, on_end=ended)
        assert entered.is_set()
        with pytest.raises(Problem, match="as many bytes"), bodies.hold(upload(3000), 0):
            pass
        door.set()
        await freed.wait()
        with bodies.hold(upload(3000), 0):
            pass

    run(scenario)  # type: ignore[arg-type]


def test_work_that_nobody_waits_for_any_more_is_not_done_and_not_kept() -> None:
    async def scenario(workers: Workers) -> None:
        door, tasks = await blocked(workers)
        done: list[int] = []
        freed = asyncio.Event()
        gone = asyncio.ensure_future(
            workers.run("note", lambda: done.append(1), tenant=1, size=1, on_end=freed.set)  # type: ignore[func-returns-value]
        )
        await asyncio.sleep(0)
        gone.cancel()
        # While every thread is still at work.
        await freed.wait()
        door.set()
        await asyncio.gather(*tasks)
        assert done == []

    run(scenario)  # type: ignore[arg-type]


def test_a_key_holds_no_more_bytes_than_its_share() -> None:
    bodies = Bodies(ServerSettings(max_bodies_bytes=9000, max_key_bytes=4000, max_body_bytes=4000))
    with bodies.hold(upload(3000), 1):
        with pytest.raises(Problem, match="this API key"), bodies.hold(upload(3000), 1):
            pass
        with bodies.hold(upload(3000), 2):
            pass
