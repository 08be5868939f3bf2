"""A wrapper of a served model that records its rows and can block or fail them."""

import threading
from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.records import Row
from testing.patience import PATIENCE_SECONDS


class Watch:
    """Passes rows to the real model: records them, waits while the door is shut, fails chosen ones."""

    def __init__(self, reranker: Reranker) -> None:
        self._judge = reranker.judge
        self.batches: list[list[Row]] = []
        self.entered = threading.Semaphore(0)
        self.door = threading.Event()
        self.door.set()
        self.fails: Callable[[Row], bool] = lambda _row: False

    @property
    def num_rows(self) -> int:
        """Rows that went in, in all batches."""
        return sum(map(len, self.batches))

    def judge(self, rows: Sequence[Row]) -> Generator[None, None, NDArray[np.float32]]:
        """What the model's own does, later."""
        self.batches.append(list(rows))
        self.entered.release()
        assert self.door.wait(PATIENCE_SECONDS)
        if any(map(self.fails, rows)):
            raise CheckpointError("a poisoned row")
        return self._judge(rows)
