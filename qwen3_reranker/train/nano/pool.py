"""Documents that may stand against each other -> BM25's scores among them, over the tokens of the cache.

Shapes: N documents of a pool, P pairs of a document and a word in it, W distinct words, V vocabulary.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.search.bm25 import K1, B
from qwen3_reranker.train.nano.cache import Ragged

NO_WORD = -1


class Pool:
    """Documents of one source and language; `word_V` gives each token its word, NO_WORD where it is none.

    The search package's BM25 reads texts. Here every group needs one among up to 40,000 documents that are token ids
    already, and an index of numpy arrays is made in a tenth of the time.
    """

    def __init__(self, members_N: NDArray[np.int32], documents: Ragged, word_V: NDArray[np.int32]) -> None:
        self.members_N, self._documents, self._word_V = members_N, documents, word_V

    def __len__(self) -> int:
        return len(self.members_N)

    def scores(self, query: NDArray[Any]) -> NDArray[np.float32]:
        """BM25 of every member, (N,); zeros for a query that shares no word with any."""
        starts_W, rows_P, weights_P = self._postings
        scores_N = np.zeros(len(self), np.float32)
        words = self._word_V[query]
        for word in words[words != NO_WORD].tolist():
            part = slice(starts_W[word], starts_W[word + 1])
            # A word names each document once, so no sum is lost.
            scores_N[rows_P[part]] += weights_P[part]
        return scores_N

    @cached_property
    def _postings(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        parts = [self._word_V[self._documents[place]] for place in self.members_N]
        lengths_N = np.array([len(part) for part in parts])
        rows = np.repeat(np.arange(len(parts)), lengths_N)
        words = np.concatenate(parts)
        real = words != NO_WORD
        num_words = int(self._word_V.max()) + 1
        pairs_P, counts_P = np.unique(words[real].astype(np.int64) * len(parts) + rows[real], return_counts=True)
        words_P, rows_P = np.divmod(pairs_P, len(parts))
        starts_W = np.searchsorted(words_P, np.arange(num_words + 1))
        in_documents_W = np.diff(starts_W)
        idf_W = np.log1p((len(parts) - in_documents_W + 0.5) / (in_documents_W + 0.5))
        damping_N = K1 * (1.0 - B + B * lengths_N / max(lengths_N.mean(), 1.0))
        weights_P = idf_W[words_P] * counts_P / (counts_P + damping_N[rows_P])
        return starts_W, rows_P.astype(np.int32), weights_P.astype(np.float32)
