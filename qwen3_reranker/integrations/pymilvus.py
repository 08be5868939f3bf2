"""Milvus: the rerank and embedding functions of pymilvus-model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.model.base import BaseEmbeddingFunction, BaseRerankFunction, RerankResult

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.reranker import Reranker


class Qwen3RerankFunction(BaseRerankFunction):
    """Ranks texts by their probability of yes, 0 to 1.

    model: what Reranker opens, or an opened Reranker. instruction: what counts as an answer, None takes the model's
    own. options: keyword arguments of Reranker, such as precision.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Reranker = "nano",
        *,
        instruction: str | None = None,
        **options: Any,
    ) -> None:
        self.instruction = instruction
        self._named = NamedModel(Reranker, model, options)

    def __call__(self, query: str, documents: Sequence[str], top_k: int | None = 5) -> list[RerankResult]:
        """The best `top_k` documents (None: all), best first, each with its index in the input."""
        ranking = self._named.open().rank(query, documents, top_k, self.instruction)
        return [RerankResult(text=hit.document, score=hit.probability, index=hit.index) for hit in ranking]


class Qwen3EmbeddingFunction(BaseEmbeddingFunction):
    """Vectors of length 1, (dim,) float32, of a Qwen3-Embedding model.

    model: what Embedder opens, or an opened Embedder. instruction: what a query looks for, None takes the model's own.
    options: keyword arguments of Embedder, such as dim.
    """

    def __init__(
        self, model: str | os.PathLike[str] | Embedder, *, instruction: str | None = None, **options: Any
    ) -> None:
        self.instruction = instruction
        self._named = NamedModel(Embedder, model, options)

    @property
    def dim(self) -> int:
        """Numbers of a vector, for the schema of a collection."""
        return self._named.open().dim

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """A vector for each document."""
        return self.encode_documents(texts)

    def encode_documents(self, documents: Sequence[str]) -> list[NDArray[np.float32]]:
        """A vector for each document."""
        return list(self._named.open().documents(documents))

    def encode_queries(self, queries: Sequence[str]) -> list[NDArray[np.float32]]:
        """A vector for each query, with the instruction before it."""
        return list(self._named.open().queries(queries, self.instruction))
