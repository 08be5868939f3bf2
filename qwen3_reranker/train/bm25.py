"""BM25 in plain numpy: the candidates of hard negatives where no run is at hand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.75

_WORD = re.compile(r"\w+")
# Chinese, Japanese, Korean and Thai: pairs of characters stand in for words.
_PAIRED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def words(text: str) -> list[str]:
    """Lower-case words; runs of Chinese, Japanese, Korean or Thai give their pairs of characters."""
    text = text.lower()
    pairs = [run[place : place + 2] for run in _PAIRED.findall(text) for place in range(max(1, len(run) - 1))]
    return _WORD.findall(_PAIRED.sub(" ", text)) + pairs


class Bm25:
    """An index over documents; scores as in Lucene: idf = log(1 + (N - n + 0.5) / (n + 0.5))."""

    def __init__(self, documents: Sequence[str], seed: int) -> None:
        counts = [Counter(words(document)) for document in documents]
        lengths_N = np.array([sum(count.values()) for count in counts], float)
        self._norm_N = K1 * (1 - B + B * lengths_N / max(lengths_N.mean(), 1.0))
        postings: dict[str, list[tuple[int, int]]] = {}
        for place, count in enumerate(counts):
            for word, times in count.items():
                postings.setdefault(word, []).append((place, times))
        self._postings = {word: np.array(found, np.int64).T for word, found in postings.items()}
        # Documents with equal scores, zero above all, stand in one random order: a corpus's own order says too much.
        self._tie_order_N = np.random.default_rng(seed).permutation(len(documents))

    def scores(self, query: str) -> NDArray[np.float64]:
        """One score for each document, (N,)."""
        total_N = np.zeros(len(self._norm_N))
        for word in words(query):
            if word in self._postings:
                places, times = self._postings[word]
                idf = np.log(1 + (len(total_N) - len(places) + 0.5) / (len(places) + 0.5))
                total_N[places] += idf * times * (K1 + 1) / (times + self._norm_N[places])
        return total_N

    def top(self, query: str, count: int) -> NDArray[np.int64]:
        """The places of the best documents, best first."""
        order: NDArray[np.int64] = np.lexsort((self._tie_order_N, -self.scores(query)))[:count]
        return order
