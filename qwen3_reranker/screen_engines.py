"""A model in other precisions than its own, each opened when a call first screens in it."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.opening import open_backend
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.forking import renew_in_children
from qwen3_reranker.logit_engine import LocalEngine
from qwen3_reranker.runner import Head, Runner
from qwen3_reranker.weights import Checkpoint


class ScreenEngines:
    """The engines of one checkpoint by precision. Each holds the layers' weights once more, until `close`.

    runner, options: those of the model itself.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: EngineOptions,
        runner: Runner,
        head: Head,
        prefix_ids: NDArray[np.int32],
    ) -> None:
        self._checkpoint, self._options, self._prefix_ids = checkpoint, options, prefix_ids
        self._runner, self._head = runner, head
        self._runners: dict[str, Runner] = {}
        self._lock = threading.Lock()
        renew_in_children(self)

    def engine(self, precision: str) -> LocalEngine:
        """The engine of this precision; the first call loads its weights."""
        with self._lock:
            if self._runner.backend is None:
                raise self._runner.unusable()
            if precision not in self._runners:
                options = replace(self._options, precision=precision)
                backend = open_backend(self._checkpoint, options, self._prefix_ids)
                self._runners[precision] = Runner(self._checkpoint, options, backend, "Reranker")
            return LocalEngine(self._runners[precision], self._head)

    def close(self) -> None:
        """Close them and the model's own runner, once calls under way have ended."""
        # Under the lock, so that nothing is opened meanwhile.
        with self._lock:
            for runner in self._runners.values():
                runner.close()
            self._runner.close()

    def in_forked_child(self) -> None:
        """Go on without the call that another thread was in."""
        self._lock = threading.Lock()
