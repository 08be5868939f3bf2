"""First-stage retrieval: BM25 by words, Dense by vectors."""

from qwen3_reranker.search.bm25 import Bm25
from qwen3_reranker.search.dense import Dense
from qwen3_reranker.search.words import words

__all__ = ["Bm25", "Dense", "words"]
