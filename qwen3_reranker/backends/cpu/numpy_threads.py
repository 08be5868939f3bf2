"""A small pool of threads that sleeps when idle, with the matrix library kept from starting its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")


def _silence() -> None:
    np.seterr(over="ignore", invalid="ignore")


class _MatrixLibrary:
    """The thread count of the process's BLAS: one while anybody computes, the caller's own again afterwards.

    The count belongs to the process, so runs of several engines must share one bookkeeper, or the first to end would
    hand back a count that the second then restores to one for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    @contextmanager
    def single_threaded(self) -> Iterator[None]:
        """While it lasts, a matrix product runs on the thread that asks for it."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                _elsewhere(self._set_limit)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    _elsewhere(self._limit.restore_original_limits)

    def _set_limit(self) -> None:
        self._limit = ThreadpoolController().limit(limits=1, user_api="blas")


def _elsewhere(work: Callable[[], object]) -> None:
    # threadpoolctl lets the thread that set a limit alone change it, as long as that thread lives; the first run to
    # begin need not be the last to end, so neither may own the limit.
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


_MATRIX_LIBRARY = _MatrixLibrary()


class Threads:
    """Runs independent pieces of work on `num_threads` threads; numpy gives the interpreter lock back in its loops."""

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._pool = self._new_pool()

    def each(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Do the work for every item, and return when all are done; raises what the work raised."""
        if self.num_threads == 1 or len(items) < 2:
            for item in items:
                work(item)
        else:
            for done in [self._living_pool().submit(work, item) for item in items]:
                done.result()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """While it lasts, BLAS starts no threads of its own, and damaged weights overflow in silence (the head checks).

        BLAS threads wait for one another by spinning. Where a neighbour takes a core, or a container has fewer than it
        sees, that cost a factor of 5 to 25 in small products (docs/log.md, 2026-11-21).
        """
        with _MATRIX_LIBRARY.single_threaded(), np.errstate(over="ignore", invalid="ignore"):
            yield

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _new_pool(self) -> ThreadPoolExecutor:
        self._process = os.getpid()
        return ThreadPoolExecutor(self.num_threads, "qwen3-reranker", _silence)

    def _living_pool(self) -> ThreadPoolExecutor:
        # Threads do not survive a fork, and work given to the parent's would never be done.
        if self._process != os.getpid():
            self._pool = self._new_pool()
        return self._pool
