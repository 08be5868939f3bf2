"""The lease of an index's only writer, where no lock can be held: on object storage."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.lease import LEASE_SECONDS, held_lease


def leased(
    table: Any, name: str, wait: float, seconds: float = LEASE_SECONDS
) -> AbstractContextManager[Callable[[], None]]:
    """Hold the lease, whose row a commit changes only if it is free.

    Yields what raises UnavailableError once the lease is lost. Raises that too if another writer has it for longer than
    `wait` seconds, and if storage does not answer.
    """
    busy = f"{name}: another process writes to this index; try again later"
    lost = f"{name}: the lease to write ran out, as storage did not answer; update again"
    return held_lease(_LeaseRow(table, name), busy=busy, lost=lost, wait=wait, seconds=seconds)


class _LeaseRow:
    """The lease as the only row of a table."""

    def __init__(self, table: Any, name: str) -> None:
        self._table, self._name, self._holder = table, name, uuid.uuid4().hex

    def take(self, expires: float) -> bool:
        return self._change(f"expires < {time.time()}", self._holder, expires)

    def renew(self, expires: float) -> bool:
        return self._change(f"holder = '{self._holder}'", self._holder, expires)

    def give_back(self) -> None:
        self._change(f"holder = '{self._holder}'", "", 0.0)

    def _change(self, condition: str, holder: str, expires: float) -> bool:
        try:
            values = {"holder": holder, "expires": expires}
            return bool(self._table.update(where=condition, values=values).rows_updated)
        except (RuntimeError, OSError, ValueError) as error:
            # Another writer was faster.
            if "conflict" in str(error).lower():
                return False
            raise UnavailableError(f"{self._name}: the lease to write cannot be taken ({error})") from error
