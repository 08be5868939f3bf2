"""The driver's end of a worker process: requests, timeouts, and the end of all its children.

A worker sleeps while others compute: some engines' threads spin for a while after their own work, or for ever.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class WorkerError(Exception):
    """What a participant could not do, in one line for the table."""


class Worker:
    """A process in its own session, so only the driver gets Ctrl-C and ends its workers."""

    def __init__(self, command: list[str], variables: dict[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.started = time.perf_counter()
        self.loading = 0.0  # seconds from the start until the model was loaded
        self.version = ""
        self.warm: set[str] = set()  # names of the participants that have scored here
        path = filter(None, [os.environ.get("PYTHONPATH")])
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *path]), **variables},
                start_new_session=True,
            )
        self.lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def load(self, patience: float, **request: Any) -> None:
        """Load a model, and note what it took."""
        self.version = self.ask(patience, do="load", **request)["version"]
        self.loading = time.perf_counter() - self.started

    def ask(self, patience: float, **request: Any) -> dict[str, Any]:
        """Its answer; raises WorkerError when it says that it failed, ends, or says nothing in time."""
        assert self.process.stdin is not None
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=patience)
        except (BrokenPipeError, queue.Empty) as error:
            self.end()
            if isinstance(error, queue.Empty):
                raise WorkerError(f"stopped after {patience:.0f} s without an answer") from None
            line = b""
        if not line:
            self.end()
            raise WorkerError(f"ended with status {self.process.returncode}: {self._last_words()}")
        self._signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(" ".join(answer["error"].split())[:300])
        return answer

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self.process.poll() is None

    def end(self) -> None:
        """Kill it and whatever it started; safe to call twice."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                self.lines.put(line)
        self.lines.put(b"")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "no message")
