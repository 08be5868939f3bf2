"""Vectors over a list of documents: a Qwen3-Embedding model as first stage.

Shapes: N documents, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.embedder import Embedder


class Dense:
    """All documents' vectors in memory; scores are exact cosines."""

    def __init__(
        self, embedder: Embedder, documents: Sequence[str], on_progress: Callable[[float], None] | None = None
    ) -> None:
        self._embedder = embedder
        self._vectors_ND = embedder.documents(documents, on_progress=on_progress)

    def top(
        self, query: str, count: int, instruction: str | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices and scores of the best documents, best first, at most `count`. Ties in input order."""
        [vector_D] = self._embedder.queries([query], instruction)
        scores_N: NDArray[np.float32] = self._vectors_ND @ vector_D
        order: NDArray[np.int64] = np.argsort(-scores_N, kind="stable")[:count]
        return order, scores_N[order]
