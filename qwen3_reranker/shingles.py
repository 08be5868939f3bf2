"""Texts -> the runs of characters that they share: near-duplicates, and how alike two texts are, in any script.

Shapes: N texts, S shingles of all texts together, V distinct ones.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Characters of a shingle.
LENGTH = 4
#: Of a longer text its beginning is compared: a reranker reads no more of it.
MOST_CHARACTERS = 65_536
# An odd number of 64 bits. Two of a billion different shingles have the same number with a chance of about 3 %.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class ShingleTable:
    """The distinct shingles of texts: each run of four characters, in normal form NFKC, without case.

    White space of any length is one blank. A text that is shorter than a shingle is one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        sets = [_shingles(text) for text in texts]
        sizes_N = np.array([len(each) for each in sets], np.int64)
        self._ends_N = np.cumsum(sizes_N).tolist()
        self._owners_S = np.repeat(np.arange(len(sets), dtype=np.int32), sizes_N)
        _, ids_S, counts_V = np.unique(
            np.concatenate([np.zeros(0, np.uint64), *sets]), return_inverse=True, return_counts=True
        )
        # Rare ones have small numbers: two texts that share much share one of their rarest, which few others have.
        order_V = np.argsort(counts_V, kind="stable")
        rank_V = np.empty(len(order_V), np.int32)
        rank_V[order_V] = np.arange(len(order_V))
        self._ids_S = rank_V[ids_S]
        for place in range(len(sets)):
            self._of(place).sort()
        self._squared_idf_V = np.square(np.log((len(sets) + 1) / counts_V[order_V]))
        self._norms_N = np.sqrt(np.bincount(self._owners_S, self._squared_idf_V[self._ids_S], len(sets)))

    def folded(self, threshold: float) -> list[int]:
        """For each text the first one that it is a near-duplicate of, or itself. The first of copies stays.

        Two are near-duplicates if they share at least that much of the shingles that either has (Jaccard's index,
        exact). What a text is folded into is folded into none.
        """
        kept_with: defaultdict[int, list[int]] = defaultdict(list)
        is_own_V = np.zeros(len(self._squared_idf_V), bool)
        found = []
        for place in range(len(self._ends_N)):
            ids = self._of(place)
            # Of two that share so much, one of these few shingles is among those of the other.
            rarest = ids[: len(ids) - math.ceil(threshold * len(ids) - 1e-9) + 1].tolist()
            candidates = sorted({each for shingle in rarest for each in kept_with.get(shingle, ())})
            is_own_V[ids] = True
            same = (each for each in candidates if self._shares(each, is_own_V, len(ids), threshold))
            first = next(same, place)
            is_own_V[ids] = False
            found.append(first)
            if first == place:
                for shingle in rarest:
                    kept_with[shingle].append(place)
        return found

    def cosines(self, place: int) -> NDArray[np.float64]:
        """How alike each text is to the one at `place`, (N,) from 0 to 1: what few texts have counts more (IDF)."""
        of_one_V = np.zeros(len(self._squared_idf_V))
        of_one_V[self._of(place)] = self._squared_idf_V[self._of(place)]
        products_N = np.bincount(self._owners_S, of_one_V[self._ids_S], len(self._norms_N))
        cosines_N: NDArray[np.float64] = np.divide(products_N, self._norms_N * self._norms_N[place])
        return cosines_N

    def _of(self, place: int) -> NDArray[np.int32]:
        """The shingles of a text; a view."""
        return self._ids_S[self._ends_N[place - 1] if place else 0 : self._ends_N[place]]

    def _shares(self, place: int, is_other_V: NDArray[np.bool_], num_other: int, threshold: float) -> bool:
        """Whether Jaccard's index of a text and another one, whose shingles are marked, is at least that."""
        ids = self._of(place)
        if min(len(ids), num_other) / max(len(ids), num_other) < threshold:
            return False
        shared = int(np.count_nonzero(is_other_V[ids]))
        return shared / (len(ids) + num_other - shared) >= threshold


def _shingles(text: str) -> NDArray[np.uint64]:
    """The distinct shingles of a text, as numbers; at least one."""
    plain = " ".join(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold().split())
    characters = np.frombuffer(plain.ljust(LENGTH, "\0").encode("utf-32-le", "surrogatepass"), np.uint32)
    count = len(characters) - LENGTH + 1
    numbers = np.zeros(count, np.uint64)
    for start in range(LENGTH):
        numbers = numbers * _FACTOR + characters[start : start + count]
    return np.unique(numbers)
