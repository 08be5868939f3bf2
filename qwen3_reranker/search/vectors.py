"""Vectors on disk: one file that only grows, read by an exact scan.

A row is D numbers of 8 bits and their scale. It is on the disk before a passage names it, so a process that dies leaves
at most rows that nobody names, and the next append writes over them. A row that had a name is never written again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Of each query, so many rows by their signs are scored by their numbers.
_RESCORED = 1000


class Vectors:
    """The rows of one file. D: numbers of a vector, a multiple of 8."""

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim
        self._row_type = np.dtype([("scale", "<f4"), ("codes", "i1", (dim,))])
        self._rows: NDArray[np.void] = np.zeros(0, self._row_type)
        self._signs_ND = np.zeros((0, dim // 8), np.uint8)

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
        """Of the rows named, the best by cosine: their numbers and cosines, best first, at most `count`."""
        self._read(int(named_R.max(initial=-1)) + 1)
        if not len(named_R):
            return named_R, np.zeros(0, np.float32)
        signs = np.packbits(query_D > 0)
        distance_R = np.bitwise_count(self._signs_ND[named_R] ^ signs).sum(axis=1, dtype=np.int32)
        kept = min(max(_RESCORED, 4 * count), len(named_R))
        near_R = named_R[np.argpartition(distance_R, kept - 1)[:kept]]
        rows = self._rows[near_R]
        cosine_R = (rows["codes"].astype(np.float32) @ query_D) * rows["scale"]
        order = np.argsort(-cosine_R, kind="stable")[:count]
        return near_R[order], cosine_R[order].astype(np.float32)

    def _read(self, count: int) -> None:
        """Map rows that were written since the last search, and take their signs."""
        known = len(self._signs_ND)
        if count <= known:
            return
        self._rows = np.memmap(self.path, self._row_type, "r", shape=(count,))
        added_ND = np.packbits(self._rows["codes"][known:] > 0, axis=1)
        self._signs_ND = np.concatenate((self._signs_ND, added_ND))
