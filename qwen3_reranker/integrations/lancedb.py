"""LanceDB: a reranker of the results of vector, full-text and hybrid search."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
from lancedb.rerankers import Reranker as LanceReranker

from qwen3_reranker.errors import InputError
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.reranker import Reranker


class Qwen3Reranker(LanceReranker):
    """Sorts results by their probability of yes, 0 to 1, in the column `_relevance_score`; missing text is empty.

    model: what Reranker opens, or an opened Reranker. column: the column of the texts. instruction: what counts as an
    answer, None takes the model's own. return_score: "relevance", or "all" to keep the scores of the search. options:
    keyword arguments of Reranker, such as precision. LanceDB hands over as many rows as the query's `limit` allows.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Reranker = "nano",
        *,
        column: str = "text",
        instruction: str | None = None,
        return_score: str = "relevance",
        **options: Any,
    ) -> None:
        super().__init__(return_score)
        self.column, self.instruction = column, instruction
        self._named = NamedModel(Reranker, model, options)

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The rows of a vector search, best first."""
        return self._ranked(query, vector_results)

    def rerank_fts(self, query: str, fts_results: pa.Table) -> pa.Table:
        """The rows of a full-text search, best first."""
        return self._ranked(query, fts_results)

    def rerank_hybrid(self, query: str, vector_results: pa.Table, fts_results: pa.Table) -> pa.Table:
        """The rows of both searches, each once, best first."""
        merge = self._merge_and_keep_scores if self.score == "all" else self.merge_results
        return self._ranked(query, merge(vector_results, fts_results))

    def _ranked(self, query: str, results: pa.Table) -> pa.Table:
        results = self._keep_relevance_score(results)
        if not len(results):
            return self._handle_empty_results(results)
        if self.column not in results.column_names:
            raise InputError(f"the results have no column {self.column!r}; they have {', '.join(results.column_names)}")
        texts = [text or "" for text in results[self.column].to_pylist()]
        ranking = self._named.open().rank(query, texts, instruction=self.instruction)
        scores = pa.array([hit.probability for hit in ranking], pa.float32())
        return results.take([hit.index for hit in ranking]).append_column("_relevance_score", scores)
