"""A head stored beside tied word vectors -> whether it differs from them."""

from __future__ import annotations

import numpy as np

from qwen3_reranker.weights.tensor import Tensor, is_plain

#: What is said of such a head.
UNTIED = "used though config.json ties it to the word vectors, from which it differs"
_VALUES_AT_ONCE = 1 << 20


def is_same(head: Tensor, words: Tensor) -> bool:
    """Whether two matrices of one shape hold equal numbers. Reads piece by piece, up to the first difference."""
    if is_plain(head) and is_plain(words) and head.dtype == words.dtype:
        pieces = zip(head.content(), words.content(), strict=True)
        if all(np.array_equal(np.frombuffer(own, np.uint8), np.frombuffer(other, np.uint8)) for own, other in pieces):
            return True
    rows, columns = head.shape
    step = max(1, _VALUES_AT_ONCE // columns)
    # Other bytes may still be the same numbers: 0 and -0, or those of another dtype.
    return all(
        np.array_equal(head.rows(some), words.rows(some))
        for some in (np.arange(start, min(rows, start + step)) for start in range(0, rows, step))
    )
