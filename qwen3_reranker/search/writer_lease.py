"""The lease of an index's only writer, where no lock can be held: on object storage."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qwen3_reranker.errors import UnavailableError

#: A writer that died keeps others waiting so long. Clocks of machines that write may differ by a third of it.
LEASE_SECONDS = 45.0


@contextmanager
def leased(table: Any, name: str, wait: float, seconds: float = LEASE_SECONDS) -> Iterator[Callable[[], None]]:
    """Hold the lease, whose row a commit changes only if it is free; a thread renews it.

    Yields what raises UnavailableError once the lease is lost. Raises that too if another writer has it for longer than
    `wait` seconds, and if storage does not answer.
    """
    holder, ends = uuid.uuid4().hex, time.monotonic() + wait

    def take(condition: str) -> bool:
        values = {"holder": holder, "expires": time.time() + seconds}
        try:
            return bool(table.update(where=condition, values=values).rows_updated)
        except (RuntimeError, OSError, ValueError) as error:
            # Another writer was faster.
            if "conflict" in str(error).lower():
                return False
            raise UnavailableError(f"{name}: the lease to write cannot be taken ({error})") from error

    while not take(f"expires < {time.time()}"):
        if time.monotonic() >= ends:
            raise UnavailableError(f"{name}: another process writes to this index; try again later") from None
        time.sleep(min(1.0, seconds / 10))
    renewed, ended = [time.monotonic()], threading.Event()

    def refuse_if_lost() -> None:
        if time.monotonic() > renewed[0] + 2 * seconds / 3:
            raise UnavailableError(f"{name}: the lease to write ran out, as storage did not answer; update again")

    def renew() -> None:
        while not ended.wait(seconds / 3):
            begun = time.monotonic()
            # A writer that waits may have been faster this once, and storage may answer the next time.
            with suppress(UnavailableError):
                if take(f"holder = '{holder}'"):
                    renewed[0] = begun

    thread = threading.Thread(target=renew, name="renewing a lease", daemon=True)
    thread.start()
    try:
        yield refuse_if_lost
    finally:
        ended.set()
        thread.join()
        # What cannot be given back runs out.
        with suppress(RuntimeError, OSError, ValueError):
            table.update(where=f"holder = '{holder}'", values={"holder": "", "expires": 0.0})
