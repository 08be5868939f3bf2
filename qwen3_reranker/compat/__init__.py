"""The surfaces of other rerankers' libraries, with a Reranker inside: changing one import moves code here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen3_reranker.compat.beir_rerank import Rerank
    from qwen3_reranker.compat.document_ranker import Document, RankedResults, Reranker, Result
    from qwen3_reranker.compat.flag_reranker import FlagAutoReranker, FlagLLMReranker, FlagReranker
    from qwen3_reranker.compat.pair_encoder import CrossEncoder
    from qwen3_reranker.compat.txtai_similarity import Similarity

# In which file each name is. A name is imported when it is asked for, so that no library pays for another.
_FILES = {
    "CrossEncoder": "pair_encoder",
    "Document": "document_ranker",
    "FlagAutoReranker": "flag_reranker",
    "FlagLLMReranker": "flag_reranker",
    "FlagReranker": "flag_reranker",
    "RankedResults": "document_ranker",
    "Rerank": "beir_rerank",
    "Reranker": "document_ranker",
    "Result": "document_ranker",
    "Similarity": "txtai_similarity",
}

__all__ = [
    "CrossEncoder",
    "Document",
    "FlagAutoReranker",
    "FlagLLMReranker",
    "FlagReranker",
    "RankedResults",
    "Rerank",
    "Reranker",
    "Result",
    "Similarity",
]


def __getattr__(name: str) -> Any:
    if name in _FILES:
        return getattr(import_module(f"qwen3_reranker.compat.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
