"""Several devices of one machine, each with the whole network, that share the rows of a call."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps, run_all
from qwen3_reranker.backends.torch.backend import TorchBackend
from qwen3_reranker.backends.torch.forked import backend_in_child
from qwen3_reranker.plan import Plan, divide, part


class ReplicaBackend:
    """Runs each plan on several backends at once; what rows share is computed once on each device that needs it."""

    def __init__(self, backends: Sequence[TorchBackend]) -> None:
        self.backends = list(backends)
        self._workers = self._new_workers()

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The final state of each row's last token; progress is the mean of the devices'.

        One step, as each device goes at its own pace.
        """
        yield from ()
        shares = divide(plan, len(self.backends))
        if len(shares) < 2:
            return run_all(self.backends[0].steps(plan, on_progress))
        together = _Together(len(shares), on_progress)
        runs = [
            self._workers.submit(run_all, backend.steps(part(plan, rows_M), together.of(number)))
            for number, (backend, rows_M) in enumerate(zip(self.backends, shares, strict=False))
        ]
        try:
            results = [run.result() for run in runs]
        except BaseException:
            together.stop()
            raise
        finally:
            # Whoever calls next must find every device idle, after Ctrl-C as well.
            wait(runs)
        hidden_ND = np.empty((plan.num_rows, results[0].hidden_ND.shape[1]), dtype=np.float32)
        for rows_M, result in zip(shares, results, strict=True):
            hidden_ND[rows_M] = result.hidden_ND
        return Executed(
            hidden_ND,
            computed_tokens=sum(result.computed_tokens for result in results),
            cached_tokens=sum(result.cached_tokens for result in results),
        )

    def close(self) -> None:
        """Give the memory of every device back."""
        self._workers.shutdown()
        for backend in self.backends:
            backend.close()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """On processors the same with other threads; otherwise one that says why it is none."""
        self._workers = self._new_workers()
        return backend_in_child(self, [backend.device for backend in self.backends], interrupted)

    def _new_workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(len(self.backends), thread_name_prefix="replica")


class _Together:
    """One progress out of several, told by one thread at a time."""

    def __init__(self, count: int, on_progress: OnProgress | None) -> None:
        self._shares = [0.0] * count
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """Let the runs that report progress end at their next report."""
        self._stopped = True

    def of(self, number: int) -> OnProgress | None:
        """What one of the runs reports to; nothing where nobody listens."""
        on_progress = self._on_progress
        if on_progress is None:
            return None

        def advance(share: float) -> None:
            with self._lock:
                if self._stopped:
                    raise InterruptedError("another device's run failed")
                self._shares[number] = share
                on_progress(sum(self._shares) / len(self._shares))

        return advance
