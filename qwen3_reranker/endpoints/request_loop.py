"""Coroutines of any thread -> one event loop in a thread of its own, which keeps connections open between calls."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from qwen3_reranker.uninterrupted import start_uninterrupted

Result = TypeVar("Result")
AtEnd = Callable[[], Coroutine[Any, Any, None]]


class RequestLoop:
    """Starts its thread with the first call; it ends with this object, or with the process.

    at_end: closes what the coroutines opened. It must not refer to this object.
    """

    def __init__(self, at_end: AtEnd) -> None:
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: weakref.finalize[..., RequestLoop] | None = None
        self._thread: threading.Thread | None = None

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Its result as a future. Cancelling that ends the coroutine where it waits."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a server that never answers must not keep the process.
                self._thread = threading.Thread(target=_run, args=(self._loop, self._at_end), daemon=True)
                start_uninterrupted(self._thread)
                self._stop = weakref.finalize(self, _stop, self._loop)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def result(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for its result. Ctrl-C ends the coroutine too."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread; requests under way end without an answer."""
        with self._lock:
            stop, thread, self._loop = self._stop, self._thread, None
        if stop is not None and thread is not None:
            stop()
            thread.join()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)


def _run(loop: asyncio.AbstractEventLoop, at_end: AtEnd) -> None:
    loop.run_forever()
    loop.run_until_complete(_end(at_end))
    loop.close()


async def _end(at_end: AtEnd) -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await at_end()
