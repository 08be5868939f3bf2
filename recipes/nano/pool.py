"""Documents of one source and language -> their BM25 scores, over the tokens of the cache.

Shapes: N documents of a pool, V vocabulary.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.search.bm25 import WordIndex
from recipes.nano.cache import Ragged

NO_WORD = -1


class Pool:
    """Documents of one source and language; `word_V`: the word of each token, or NO_WORD."""

    def __init__(self, members_N: NDArray[np.int32], documents: Ragged, word_V: NDArray[np.int32]) -> None:
        self.members_N, self._documents, self._word_V = members_N, documents, word_V

    def __len__(self) -> int:
        return len(self.members_N)

    def scores(self, query: NDArray[Any]) -> NDArray[np.float32]:
        """BM25 of every member, (N,); zeros for a query without common words."""
        return self._index.scores(self._words(query))

    @cached_property
    def _index(self) -> WordIndex:
        # Built on first use: there are hundreds of pools.
        return WordIndex(self._words(self._documents[index]) for index in self.members_N)

    def _words(self, tokens: NDArray[Any]) -> list[int]:
        words = self._word_V[tokens]
        found: list[int] = words[words != NO_WORD].tolist()
        return found
