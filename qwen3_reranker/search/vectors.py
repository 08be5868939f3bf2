"""Vectors on disk: one file that only grows, read by an exact scan.

A row is D numbers of 8 bits and their scale. It is on the disk before a passage names it, so a process that dies leaves
at most rows that nobody names, and the next append writes over them. A row that had a name is never written again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.nearest_rows import nearest_rows, row_type


class Vectors:
    """The rows of one file. D: numbers of a vector."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self._row_type = row_type(dim)
        self._rows: NDArray[np.void] = np.zeros(0, self._row_type)

    def append(self, vectors_ND: NDArray[np.float32], used: int) -> int:
        """Write rows behind the first `used` ones, and return once the disk has them: the number of the first one."""
        largest_N = np.maximum(np.abs(vectors_ND).max(axis=1), 1e-12)
        rows = np.empty(len(vectors_ND), self._row_type)
        rows["scale"] = largest_N / 127
        rows["codes"] = np.rint(vectors_ND / rows["scale"][:, None])
        with open(self.path, "r+b" if self.path.exists() else "w+b") as opened:
            opened.seek(used * self._row_type.itemsize)
            opened.write(rows.tobytes())
            opened.truncate()
            opened.flush()
            os.fsync(opened.fileno())
        return used

    def top(
        self, query_D: NDArray[np.float32], count: int, named_R: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of the rows named, the best by cosine: their numbers and cosines, best first, at most `count`.

        Raises UnavailableError if the file lacks some of them.
        """
        held = int(named_R.max(initial=-1)) + 1
        if held > len(self._rows):
            # Rows that were written since the last search.
            if not self.path.exists() or self.path.stat().st_size < held * self._row_type.itemsize:
                raise UnavailableError(
                    f"{self.path}: vectors are missing; remove the folder of the index and add again"
                )
            self._rows = np.memmap(self.path, self._row_type, "r", shape=(held,))
        return nearest_rows(self._rows, named_R, query_D, count)
