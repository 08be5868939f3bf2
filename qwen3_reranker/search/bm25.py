"""BM25 over a list of documents: a first stage for reranking.

Shapes: N documents.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.words import words

#: Lucene's defaults.
K1, B = 1.2, 0.75


class WordIndex:
    """BM25 over documents given as words.

    idf = log(1 + (N - n + 0.5) / (n + 0.5)), as in Lucene.

    Raises UnavailableError if bm25s is not installed.
    """

    def __init__(self, documents: Iterable[Iterable[Hashable]]) -> None:
        if find_spec("bm25s") is None:
            raise UnavailableError('BM25 needs bm25s, which is not installed: pip install "qwen3_reranker[search]"')
        import bm25s

        # On import it sets its own log level to DEBUG.
        logging.getLogger("bm25s").setLevel(logging.WARNING)

        self._number_of: dict[Hashable, int] = {}
        ids = [[self._number_of.setdefault(word, len(self._number_of)) for word in row] for row in documents]
        self._num_documents = len(ids)
        self._index = bm25s.BM25(method="lucene", k1=K1, b=B)
        if self._number_of:
            self._index.index((ids, self._number_of), show_progress=False)

    def __len__(self) -> int:
        return self._num_documents

    def scores(self, query: Iterable[Hashable]) -> NDArray[np.float32]:
        """One score for each document, (N,) float32; 0 where no word of the query occurs."""
        known = [self._number_of[word] for word in query if word in self._number_of]
        if not known:
            return np.zeros(len(self), np.float32)
        scores_N: NDArray[np.float32] = np.asarray(self._index.get_scores_from_ids(known), np.float32)
        return scores_N


class Bm25:
    """A `WordIndex` over texts that returns the best of them.

    seed: of the random order of documents with equal scores (often 0). The corpus's own order may reveal which
    documents are relevant.
    """

    def __init__(self, documents: Sequence[str], seed: int = 0) -> None:
        self._index = WordIndex(words(text) for text in documents)
        self._tie_order_N = np.random.default_rng(seed).permutation(len(documents))

    def scores(self, query: str) -> NDArray[np.float32]:
        """One score for each document, (N,) float32; 0 where no word of the query occurs."""
        return self._index.scores(words(query))

    def top(self, query: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices and scores of the best documents, best first, at most `count`."""
        scores_N = self.scores(query)
        order: NDArray[np.int64] = np.lexsort((self._tie_order_N, -scores_N))[:count]
        return order, scores_N[order]
