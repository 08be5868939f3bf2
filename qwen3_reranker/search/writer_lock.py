"""The lock of an index's only writer, on this machine."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwen3_reranker.errors import UnavailableError


@contextmanager
def one_writer(folder: Path, seconds: float) -> Iterator[None]:
    """Hold the lock of an index's only writer. The lock ends with the process that holds it, however it dies.

    Raises UnavailableError if another writer has it for longer than `seconds`.
    """
    with (folder / "writer.lock").open("a") as lock:
        ends = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= ends:
                    raise UnavailableError(f"{folder}: another process writes to this index; try again later") from None
                time.sleep(0.05)
        yield
