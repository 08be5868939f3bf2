"""A small pool of threads that sleeps when idle, with the matrix library kept from starting its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")


def usable_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Threads:
    """Runs independent pieces of work on `num_threads` threads; numpy gives the interpreter lock back in its loops."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._pool = ThreadPoolExecutor(num_threads, "qwen3-reranker") if num_threads > 1 else None
        self._libraries = ThreadpoolController()

    def each(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Do the work for every item, and return when all are done; raises what the work raised."""
        if self._pool is None or len(items) < 2:
            for item in items:
                work(item)
        else:
            for done in [self._pool.submit(work, item) for item in items]:
                done.result()

    def undisturbed(self) -> AbstractContextManager[Any]:
        """While it lasts, a matrix product runs on the thread that asks for it.

        BLAS threads wait for one another by spinning. Where a neighbour takes a core, or a container has fewer than it
        sees, that cost a factor of 5 to 25 in small products (docs/log.md, 2026-11-21).
        """
        limited: AbstractContextManager[Any] = self._libraries.limit(limits=1, user_api="blas")
        return limited

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
