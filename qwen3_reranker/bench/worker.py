"""A process for each precision, so that each has its own peak of memory."""

from __future__ import annotations

import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.errors import RerankerError
from qwen3_reranker.reranker import Reranker

Pairs = Sequence[tuple[str, str]]
# In which a process that gets SIGTERM removes what it was writing, and one that closed its output ends.
_SECONDS_TO_END = 2


@dataclass(frozen=True, slots=True)
class Round:
    """One run over some pairs: wall seconds, computed tokens, the process's peak so far.

    logits_N: of the pairs. spent: seconds of all threads together, in products, attention and the rest.
    """

    logits_N: NDArray[np.float32]
    seconds: float
    computed_tokens: int
    peak_bytes: int
    spent: tuple[float, float, float]


class Worker:
    """A process that holds one model in one precision and keeps nothing between rounds.

    model, options: those of Reranker.
    """

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        # The same path, as the current folder may hold another qwen3_reranker; a session of its own, so that Ctrl-C
        # reaches only the process that started it.
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._send((model, dict(options)))

    def run(self, pairs: Pairs, on_progress: OnProgress) -> Round:
        """Score the pairs.

        Raises what the reranker raises, MemoryError where the system killed the process, and RerankerError where it
        ended in another way or answers what cannot be read.
        """
        self._send(tuple(pairs))
        assert self._process.stdout is not None
        while True:
            try:
                answer = pickle.load(self._process.stdout)
            except Exception:
                # What is cut off or is no answer makes pickle raise nearly anything.
                raise self._failure() from None
            if isinstance(answer, Round):
                return answer
            if isinstance(answer, Exception):
                raise answer
            on_progress(answer)

    def close(self) -> None:
        """End the process, even during a round or while it writes to the disk cache."""
        self._process.terminate()
        try:
            with suppress(BrokenPipeError, subprocess.TimeoutExpired):
                self._process.communicate(timeout=_SECONDS_TO_END)
        finally:
            self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()

    def _failure(self) -> Exception:
        """Why there is no answer that can be read."""
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            return RerankerError("the process that measures gave an answer that cannot be read; nothing was measured")
        if code == -signal.SIGKILL:
            return MemoryError()
        how = f"with exit code {code}" if code >= 0 else f"by signal {-code} ({signal.strsignal(-code)})"
        return RerankerError(f"the process that measures ended {how} before it answered")

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        # If it has ended, reading its answer says why.
        with suppress(BrokenPipeError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()


def serve() -> None:
    """The process: reads a model, options and then pairs from stdin, and answers on stdout."""

    def answer(message: object) -> None:
        pickle.dump(message, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    # Until here it ends at once and in silence, when there is nothing yet to remove.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        model, options = pickle.load(sys.stdin.buffer)
        with Reranker(model, **{**options, "prefix_cache_tokens": 0}) as reranker:
            while True:
                answer(_round(reranker, pickle.load(sys.stdin.buffer), answer))
    except (EOFError, BrokenPipeError):
        # The other process has gone.
        return
    except Exception as error:
        # The other process raises it.
        answer(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same if a pipe cannot carry it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        reason = " ".join(str(error).split())
        return RerankerError(f"{type(error).__name__} in the process that measures: {reason}")
    return error


def _round(reranker: Reranker, pairs: Pairs, on_progress: OnProgress) -> Round:
    backend = reranker.runner.backend
    assert isinstance(backend, CpuBackend)
    tokens, before = backend.computed_tokens, backend.kernel_seconds()
    start = time.perf_counter()
    logits_N = reranker.logits(pairs, on_progress=on_progress)
    seconds = time.perf_counter() - start
    after = backend.kernel_seconds()
    spent = (after.products - before.products, after.attention - before.attention, after.rest - before.rest)
    return Round(logits_N, seconds, backend.computed_tokens - tokens, _peak_bytes(), spent)


def _peak_bytes() -> int:
    # Linux hands ru_maxrss down to whom a process starts, so its own peak is read elsewhere.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
