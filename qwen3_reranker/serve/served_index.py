"""ServedIndex: an index of files that the server's clients search."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qwen3_reranker.errors import InputError, RerankerError
from qwen3_reranker.search.opened_store import is_index
from qwen3_reranker.search.search_index import Index, Staleness
from qwen3_reranker.serve.models import ServedReranker

_log = logging.getLogger(__name__)
# Searches wait for the model in threads, and one that waits costs little. More of them wait for a thread.
_THREADS = 64
# Folders are looked through again after so many seconds, for so many seconds at most.
_STALE_AFTER, _STALE_SECONDS = 30.0, 1.0


Made = TypeVar("Made")


class ServedIndex:
    """The index in a folder or at a URL. model: what judges, None for the order of the first stage alone.

    stale: how far it lies behind its folders, by the last look. Raises InputError if there is no index,
    UnavailableError for one of another version or out of reach.
    """

    def __init__(self, address: str, model: ServedReranker | None) -> None:
        if not is_index(address):
            raise InputError(f"{address}: no index; `qwen3-reranker index add FOLDER --index {address}` makes one")
        self.model = model
        self.index = Index(address, reranker=None if model is None else model.reranker)
        self.stale = Staleness(0, is_complete=False)
        self._looked = 0.0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")
        self._look()

    async def run(self, search: Callable[[], Made]) -> Made:
        """What a search of the index returns or raises, in a thread. Cancelled, it goes on, and nobody waits for it."""
        if time.monotonic() > self._looked + _STALE_AFTER:
            self._looked = time.monotonic()
            self._threads.submit(self._look)
        return await asyncio.get_running_loop().run_in_executor(self._threads, search)

    def close(self) -> None:
        """Close the files, once the searches have ended."""
        self._threads.shutdown(cancel_futures=True)
        self.index.close()

    def _look(self) -> None:
        try:
            self.stale = self.index.stale(seconds=_STALE_SECONDS)
        except (RerankerError, OSError) as error:
            self.stale = Staleness(0, is_complete=False)
            _log.warning("it is not known which indexed files changed: %s", error)
        self._looked = time.monotonic()
