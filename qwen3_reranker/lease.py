"""A lease: the right to write alone, where no lock can be held. It is renewed, and runs out when its holder dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from qwen3_reranker.errors import UnavailableError

#: A holder that died keeps others waiting so long. Clocks of machines that write may differ by a third of it.
LEASE_SECONDS = 45.0


class LeaseKeeper(Protocol):
    """Where the lease of one holder is kept. All raise UnavailableError if storage does not answer."""

    def take(self, expires: float) -> bool:
        """Take it until that time, by time.time(), if it is free."""

    def renew(self, expires: float) -> bool:
        """Hold it until that time, if it is still this holder's."""

    def give_back(self) -> None:
        """Let others take it at once."""


@contextmanager
def held_lease(
    keeper: LeaseKeeper, *, busy: str, lost: str, wait: float, seconds: float = LEASE_SECONDS
) -> Iterator[Callable[[], None]]:
    """Hold a lease; a thread renews it.

    Yields what raises UnavailableError, saying `lost`, once the lease is lost. Raises it, saying `busy`, if another has
    the lease for longer than `wait` seconds.
    """
    ends = time.monotonic() + wait
    while not keeper.take(time.time() + seconds):
        if time.monotonic() >= ends:
            raise UnavailableError(busy) from None
        time.sleep(min(1.0, seconds / 10))
    renewed, ended = [time.monotonic()], threading.Event()

    def refuse_if_lost() -> None:
        if time.monotonic() > renewed[0] + 2 * seconds / 3:
            raise UnavailableError(lost)

    def renew() -> None:
        while not ended.wait(seconds / 3):
            begun = time.monotonic()
            # Another may have been faster this once, and storage may answer the next time.
            with suppress(UnavailableError):
                if keeper.renew(time.time() + seconds):
                    renewed[0] = begun

    thread = threading.Thread(target=renew, name="renewing a lease", daemon=True)
    thread.start()
    try:
        yield refuse_if_lost
    finally:
        ended.set()
        thread.join()
        # What cannot be given back runs out.
        with suppress(UnavailableError):
            keeper.give_back()
