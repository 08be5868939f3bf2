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
        self._sizes_N = np.array([len(each) for each in sets], np.int64)
        self._owners_S = np.repeat(np.arange(len(sets)), self._sizes_N)
        joined_S = np.concatenate([np.zeros(0, np.uint64), *sets])
        _, ids_S, counts_V = np.unique(joined_S, return_inverse=True, return_counts=True)
        # Rare ones have small numbers: two texts that share much share one of their rarest, which few others have.
        order_V = np.argsort(counts_V, kind="stable")
        rank_V = np.empty_like(order_V)
        rank_V[order_V] = np.arange(len(order_V))
        self._ids_S = rank_V[ids_S]
        self._idf_V = np.log((len(sets) + 1) / counts_V[order_V])
        weights_S = np.square(self._idf_V)[self._ids_S]
        self._norms_N = np.sqrt(np.bincount(self._owners_S, weights_S, len(sets)))

    def folded(self, threshold: float) -> list[int]:
        """For each text the first one that it is a near-duplicate of, or itself. The first of copies stays.

        Two are near-duplicates if they share at least that much of the shingles that either has (Jaccard's index,
        exact). What a text is folded into is folded into none.
        """
        kept_with: defaultdict[int, list[int]] = defaultdict(list)
        sets: list[frozenset[int]] = []
        found = []
        for place, stop in enumerate(np.cumsum(self._sizes_N).tolist()):
            ids = np.sort(self._ids_S[stop - self._sizes_N[place] : stop]).tolist()
            sets.append(frozenset(ids))
            # Of two that share so much, one of these few shingles is among those of the other.
            rarest = ids[: len(ids) - math.ceil(threshold * len(ids) - 1e-9) + 1]
            candidates = sorted({each for shingle in rarest for each in kept_with[shingle]})
            first = next((each for each in candidates if _share_much(sets[each], sets[place], threshold)), place)
            found.append(first)
            if first == place:
                for shingle in rarest:
                    kept_with[shingle].append(place)
        return found

    def cosines(self, place: int) -> NDArray[np.float64]:
        """How alike each text is to the one at `place`, (N,) from 0 to 1: what few texts have counts more (IDF)."""
        of_one_V = np.zeros(len(self._idf_V))
        ids = self._ids_S[self._owners_S == place]
        of_one_V[ids] = np.square(self._idf_V[ids])
        products_N = np.bincount(self._owners_S, of_one_V[self._ids_S], len(self._norms_N))
        cosines_N: NDArray[np.float64] = np.divide(products_N, self._norms_N * self._norms_N[place])
        return cosines_N


def _share_much(one: frozenset[int], other: frozenset[int], threshold: float) -> bool:
    """Whether Jaccard's index of two sets is at least that."""
    if min(len(one), len(other)) / max(len(one), len(other)) < threshold:
        return False
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared) >= threshold


def _shingles(text: str) -> NDArray[np.uint64]:
    """The distinct shingles of a text, as numbers; at least one."""
    plain = " ".join(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold().split())
    characters = np.frombuffer(plain.ljust(LENGTH, "\0").encode("utf-32-le", "surrogatepass"), np.uint32)
    count = len(characters) - LENGTH + 1
    numbers = np.zeros(count, np.uint64)
    for start in range(LENGTH):
        numbers = numbers * _FACTOR + characters[start : start + count]
    return np.unique(numbers)
