"""A call that computes -> an awaitable that leaves the event loop free and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from threading import Event
from typing import TypeVar

from qwen3_reranker.forking import renew_in_children

Result = TypeVar("Result")
_CANCELLED: ContextVar[Event | None] = ContextVar("cancelled", default=None)


class CancelledCall(BaseException):
    """Ends a call whose result nobody waits for."""


def end_if_cancelled() -> None:
    """Raise CancelledCall in a call that was cancelled."""
    cancelled = _CANCELLED.get()
    if cancelled is not None and cancelled.is_set():
        raise CancelledCall


class CallThread:
    """Runs calls in a thread of its own, one after the other."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        renew_in_children(self)

    def in_forked_child(self) -> None:
        """Start another thread when it is needed."""
        self._pool = None

    async def run(self, call: Callable[[], Result]) -> Result:
        """The result of the call. One that is cancelled never begins, or ends at its next `end_if_cancelled`."""
        # Imported by those who use it: every other program would pay for it at its start.
        import asyncio

        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="rerank")
        cancelled = Event()

        def cancellable() -> Result:
            _CANCELLED.set(cancelled)
            return call()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, cancellable)
        finally:
            cancelled.set()
