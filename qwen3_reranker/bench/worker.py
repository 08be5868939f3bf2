"""A process of its own for each precision, so that every one has a peak of memory to itself."""

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

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.reranker import Reranker

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Round:
    """One run over some pairs: seconds of wall time, tokens that went through the network, the process's peak so far.

    products, attention, rest: seconds of all threads together; None with numpy kernels, which keep no clocks.
    """

    seconds: float
    computed_tokens: int
    peak_bytes: int
    spent: tuple[float, float, float] | None


class Worker:
    """A process that holds one model in one precision and keeps nothing between rounds.

    model, options: those of Reranker.
    """

    def __init__(self, model: str, options: Mapping[str, Any]) -> None:
        # The same path, as the current folder may hold another qwen3_reranker; a session of its own, so that Ctrl-C
        # reaches whoever started it alone.
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._send((model, dict(options)))

    def run(self, pairs: Pairs, on_progress: OnProgress) -> Round:
        """Score the pairs; raises what the reranker raises, and MemoryError where the system killed the process."""
        self._send(tuple(pairs))
        assert self._process.stdout is not None
        while True:
            try:
                answer = pickle.load(self._process.stdout)
            except (EOFError, pickle.UnpicklingError):
                code = self._process.wait()
                if code == -signal.SIGKILL:
                    raise MemoryError from None
                raise RuntimeError(f"the process that measures ended with exit code {code}") from None
            if isinstance(answer, Round):
                return answer
            if isinstance(answer, Exception):
                raise answer
            on_progress(answer)

    def close(self) -> None:
        """End the process, even in the middle of a round."""
        self._process.kill()
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        # One that has ended says why when it is asked for an answer.
        with suppress(BrokenPipeError):
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()


def serve() -> None:
    """The process's own end: model and options, then pairs after pairs, come on stdin; answers go to stdout."""

    def answer(message: object) -> None:
        pickle.dump(message, sys.stdout.buffer)
        sys.stdout.buffer.flush()

    try:
        model, options = pickle.load(sys.stdin.buffer)
        with Reranker(model, prefix_cache_tokens=0, **options) as reranker:
            while True:
                answer(_round(reranker, pickle.load(sys.stdin.buffer), answer))
    except (EOFError, BrokenPipeError):
        # Whoever asked has gone.
        return
    except Exception as error:
        answer(error)


def _round(reranker: Reranker, pairs: Pairs, on_progress: OnProgress) -> Round:
    backend = reranker.backend
    assert isinstance(backend, CpuBackend)
    tokens, before = backend.computed_tokens, backend.timings()
    start = time.perf_counter()
    reranker.logits(pairs, on_progress=on_progress)
    seconds = time.perf_counter() - start
    after = backend.timings()
    spent = None
    if before is not None and after is not None:
        spent = (after.products - before.products, after.attention - before.attention, after.rest - before.rest)
    return Round(seconds, backend.computed_tokens - tokens, _peak_bytes(), spent)


def _peak_bytes() -> int:
    # Linux hands ru_maxrss down to whom a process starts, so its own peak is read elsewhere.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
