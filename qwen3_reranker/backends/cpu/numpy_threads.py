"""A small pool of threads that sleeps when idle, with the matrix library kept from starting its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from qwen3_reranker.forking import renew_in_children

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
        renew_in_children(self)

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
                # None are left in a forked child, which may be on its way through all the same.
                self._users = max(0, self._users - 1)
                if self._users == 0:
                    _elsewhere(self._limit.restore_original_limits)

    def in_forked_child(self) -> None:
        """Nobody computes any more, so the caller's own count is due."""
        self._lock = threading.Lock()
        if self._users and self._limit is not None:
            _elsewhere(self._limit.restore_original_limits)
        self._users = 0

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
        self.in_forked_child()
        renew_in_children(self)

    def each(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Do the work for every item, and return when all are done; raises what the work raised."""
        if self.num_threads == 1 or len(items) < 2:
            for item in items:
                work(item)
        else:
            for done in [self._pool.submit(work, item) for item in items]:
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

    def in_forked_child(self) -> None:
        """Threads of its own: work given to the parent's would never be done."""
        self._pool = ThreadPoolExecutor(self.num_threads, "qwen3-reranker", _silence)
