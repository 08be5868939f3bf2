"""Search: retrieve, then rerank. So far the retriever of words, BM25."""

from qwen3_reranker.search.bm25 import Bm25
from qwen3_reranker.search.words import words

__all__ = ["Bm25", "words"]
