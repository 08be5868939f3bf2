"""Two-stage search over one's own files (Index), and first stages over lists in memory (Bm25, Dense)."""

from qwen3_reranker.search.bm25 import Bm25
from qwen3_reranker.search.dense import Dense
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.results import SearchHit, SearchResults
from qwen3_reranker.search.search_index import Index
from qwen3_reranker.search.words import words
from qwen3_reranker.selection_options import SelectionOptions

__all__ = ["Bm25", "Dense", "Filters", "Index", "SearchHit", "SearchResults", "SelectionOptions", "words"]
