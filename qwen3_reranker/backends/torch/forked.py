"""Runs a network in a forked child: in a new thread on a processor. Other devices raise an error that says why.

torch shares work on a processor among threads that belong to the thread that called it. Those of the thread that forked
stayed in the parent, and torch would wait for them for ever; a new thread gets new ones.
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
    """What replaces a backend from before the fork; interrupted: it was computing at the fork."""
    if device.type != "cpu":
        return LostBackend(_GPU)
    if interrupted:
        return LostBackend("torch was computing in another thread when this process was forked")
    return SingleThreadBackend(lambda: backend)


def refuse_forked_gpu(device: torch.device) -> None:
    """Raise UnavailableError for a GPU that was in use before this process was forked."""
    if torch.cuda._is_in_bad_fork() and device.type == "cuda":
        raise _unavailable(_GPU)


class SingleThreadBackend:
    """A backend that is opened and runs in one thread, for callers in any thread."""

    def __init__(self, opened: Callable[[], Backend]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="torch")
        self._backend = self._thread.submit(opened).result()

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The steps of the backend; `on_progress` is called in its thread."""
        steps = self._backend.steps(plan, on_progress)
        try:
            while (executed := self._thread.submit(_advanced, steps).result()) is None:
                yield
            return executed
        finally:
            self._thread.submit(steps.close).result()

    def close(self) -> None:
        """Free the memory, and end the thread."""
        self._thread.submit(self._backend.close).result()
        self._thread.shutdown()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """The answer of the backend, which gets another thread."""
        return self._backend.in_forked_child(interrupted)


class LostBackend:
    """A backend that did not survive a fork."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """Raises UnavailableError."""
        raise _unavailable(self._reason)

    def close(self) -> None:
        """Do nothing: no memory is left."""

    def in_forked_child(self, interrupted: bool) -> Backend:
        """The same error in a child of the child."""
        return self


def _unavailable(reason: str) -> UnavailableError:
    return UnavailableError(
        f"{reason}; fork before the model is opened and open it in each process, or start processes with "
        'multiprocessing.get_context("spawn")'
    )


def _advanced(steps: Steps) -> Executed | None:
    """Take one step: the result if it was the last."""
    try:
        next(steps)
    except StopIteration as ended:
        executed: Executed = ended.value
        return executed
    return None
