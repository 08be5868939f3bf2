"""What runs a network in a forked child: a thread of its own on a processor; elsewhere nothing can, and says so.

The threads among which torch shares its work on a processor belong to the thread that they work for. Those of the
thread that forked stayed in the parent, and torch would wait for them for ever; a new thread gets new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.plan import Plan

_GPU = "torch used a GPU before this process was forked, and cannot in a forked one"


def backend_in_child(backend: Backend, device: torch.device, interrupted: bool) -> Backend:
    """What takes the place of a backend that was there before the fork; interrupted: it was computing just then."""
    if device.type != "cpu":
        return Lost(_GPU)
    if interrupted:
        return Lost("torch was computing in another thread when this process was forked")
    return OwnThread(lambda: backend)


def refuse_forked_gpu(device: torch.device) -> None:
    """Raise UnavailableError for a GPU that was in use before this process was forked."""
    if torch.cuda._is_in_bad_fork() and device.type == "cuda":
        raise _unavailable(_GPU)


class OwnThread:
    """A backend that is opened and runs in one thread, whoever asks."""

    def __init__(self, opened: Callable[[], Backend]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="torch")
        self._backend = self._thread.submit(opened).result()

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """What the backend gives; `on_progress` is called in its thread."""
        steps = self._backend.steps(plan, on_progress)
        try:
            while (executed := self._thread.submit(_advanced, steps).result()) is None:
                yield
            return executed
        finally:
            self._thread.submit(steps.close).result()

    def close(self) -> None:
        """Give the memory back, and end the thread."""
        self._thread.submit(self._backend.close).result()
        self._thread.shutdown()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """What the backend says; it gets another thread."""
        return self._backend.in_forked_child(interrupted)


class Lost:
    """A backend that did not survive a fork."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """Raises UnavailableError."""
        raise _unavailable(self._reason)

    def close(self) -> None:
        """Nothing is left to be given back."""

    def in_forked_child(self, interrupted: bool) -> Backend:
        """Still lost."""
        return self


def _unavailable(reason: str) -> UnavailableError:
    return UnavailableError(
        f"{reason}; fork before the model is opened and open it in each process, or start processes with "
        'multiprocessing.get_context("spawn")'
    )


def _advanced(steps: Steps) -> Executed | None:
    """One step further: what the run gives if that was the last."""
    try:
        next(steps)
    except StopIteration as ended:
        executed: Executed = ended.value
        return executed
    return None
