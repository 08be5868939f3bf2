"""Workers: threads that parse, tokenize and write for all requests. Tenants take turns, and small work goes first."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qwen3_reranker.serve.metrics import Metrics

Made = TypeVar("Made")


@dataclass(slots=True)
class _Task:
    """A function that waits for a thread; None once it runs or nobody waits for it."""

    function: Callable[[], Any] | None
    future: Future[Any]
    size: int
    name: str
    submitted: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _TenantTasks:
    """The tasks of one tenant by a tag, as in FairQueue: the bytes served to it at their arrival, plus their own."""

    served: int
    queue: list[tuple[int, int, _Task]] = field(default_factory=list)


class Workers:
    """A few threads for work that would hold up the event loop; use from the loop's thread alone.

    A task runs to its end, so long work comes in slices: each of them is one task, and takes its turn.
    """

    # Tokenizing releases the GIL; a second thread keeps a slice of one tenant from blocking another.
    NUM_THREADS = 2

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(self.NUM_THREADS, thread_name_prefix="worker")
        self._lock = threading.Lock()
        self._tenants: dict[int, _TenantTasks] = {}
        self._virtual_time = self._arrivals = 0

    async def run(
        self, name: str, function: Callable[[], Made], *, tenant: int, size: int, on_end: Callable[[], None]
    ) -> Made:
        """What the function returns or raises.

        name: of the kind of work, for metrics. size: bytes or characters of it. on_end: called in the loop's thread
        when the function runs no more and is forgotten, which after a cancellation is later than this returns.
        """
        loop = asyncio.get_running_loop()
        task = _Task(function, Future(), size, name)

        def ended(_future: Future[Any]) -> None:
            task.function = None
            # The loop is closed where the server ends at once.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(on_end)

        task.future.add_done_callback(ended)
        self._add(tenant, task)
        self._threads.submit(self._run_next)
        made: Made = await asyncio.wrap_future(task.future)
        return made

    def close(self) -> None:
        """End the threads after what they run now."""
        self._threads.shutdown(cancel_futures=True)

    def _add(self, tenant: int, task: _Task) -> None:
        self._metrics.waiting_bytes.inc(task.size)
        with self._lock:
            # A tenant that was idle begins with the others: it has saved nothing up.
            tasks = self._tenants.setdefault(tenant, _TenantTasks(self._virtual_time))
            self._arrivals += 1
            heapq.heappush(tasks.queue, (tasks.served + task.size, self._arrivals, task))

    def _run_next(self) -> None:
        """Run the task whose turn it is. Each task that was added leads to one call."""
        with self._lock:
            tenant, tasks = min(self._tenants.items(), key=lambda each: each[1].served)
            *_, task = heapq.heappop(tasks.queue)
            self._virtual_time = tasks.served
            if is_wanted := task.future.set_running_or_notify_cancel():
                tasks.served += task.size
            if not tasks.queue:
                del self._tenants[tenant]
        self._metrics.waiting_bytes.dec(task.size)
        function = task.function
        if not is_wanted or function is None:
            return
        self._metrics.on_turn(task.name, time.monotonic() - task.submitted)
        try:
            made = function()
        except BaseException as error:
            function = None
            task.future.set_exception(error)
        else:
            function = None
            task.future.set_result(made)
