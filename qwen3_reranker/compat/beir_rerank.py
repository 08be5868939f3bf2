"""Rerank: BEIR's class, a first stage's results to reranked results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from qwen3_reranker.compat.pair_encoder import CrossEncoder
from qwen3_reranker.errors import InputError
from qwen3_reranker.reranker import Reranker

Results = dict[str, dict[str, float]]


class Rerank:
    """`beir.reranking.Rerank`: the best documents of each query, with the scores of a model in place of their own.

    model: anything with `predict(pairs, batch_size=)`, such as a CrossEncoder, or what a CrossEncoder opens.
    """

    def __init__(self, model: Any, batch_size: int = 128, **_: Any) -> None:
        self.cross_encoder = CrossEncoder(model) if isinstance(model, str | os.PathLike | Reranker) else model
        self.batch_size = batch_size
        self.rerank_results: Results = {}

    def rerank(
        self,
        corpus: Mapping[str, Mapping[str, str]],
        queries: Mapping[str, str],
        results: Mapping[str, Mapping[str, float]],
        top_k: int,
    ) -> Results:
        """{query: {document: score}} of each query's `top_k` best documents, of which title and text are read.

        corpus: {document: {"title": ..., "text": ...}}. Raises InputError for a result whose query or document is not
        there, and what the model's predict raises.
        """
        for query, found in results.items():
            if query not in queries:
                raise InputError(f"results hold the query {query!r}, which is not among the queries")
            if (absent := next((each for each in found if each not in corpus), None)) is not None:
                raise InputError(f"results hold the document {absent!r}, which the corpus lacks")
        ids = [
            (query, document)
            for query, found in results.items()
            for document in sorted(found, key=found.__getitem__, reverse=True)[:top_k]
        ]
        texts = {
            document: " ".join(corpus[document].get(name) or "" for name in ("title", "text")).strip()
            for _, document in ids
        }
        pairs = [(queries[query], texts[document]) for query, document in ids]
        scores = self.cross_encoder.predict(pairs, batch_size=self.batch_size)
        self.rerank_results = {query: {} for query in results}
        for (query, document), score in zip(ids, scores, strict=True):
            self.rerank_results[query][document] = float(score)
        return self.rerank_results
