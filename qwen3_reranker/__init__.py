"""Rerank documents with Qwen3-Reranker models: exact, fast on a CPU, and working the first time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen3_reranker.errors import (
    CheckpointError,
    InputError,
    ModelNotFoundError,
    OutOfMemoryError,
    PrecisionError,
    QueryTooLongError,
    RecordError,
    RerankerError,
    UnavailableError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    from qwen3_reranker.embedder import Embedder
    from qwen3_reranker.explanation import Explanation
    from qwen3_reranker.records import (
        Cascade,
        DocumentScores,
        Embeddings,
        Hit,
        Ranking,
        Receipt,
        Screening,
        TextReceipt,
        Usage,
    )
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.selection import Selection, select

__version__ = "0.1.0"

__all__ = [
    "Cascade",
    "CheckpointError",
    "DocumentScores",
    "Embedder",
    "Embeddings",
    "Explanation",
    "Hit",
    "InputError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "PrecisionError",
    "QueryTooLongError",
    "Ranking",
    "Receipt",
    "RecordError",
    "Reranker",
    "RerankerError",
    "Screening",
    "Selection",
    "TextReceipt",
    "UnavailableError",
    "UnsupportedModelError",
    "Usage",
    "__version__",
    "select",
]


def __getattr__(name: str) -> Any:
    # The command line's --help imports this package; numpy and tokenizers wait until somebody ranks.
    if name == "Reranker":
        from qwen3_reranker.reranker import Reranker

        return Reranker
    if name == "Embedder":
        from qwen3_reranker.embedder import Embedder

        return Embedder
    if name == "Explanation":
        from qwen3_reranker.explanation import Explanation

        return Explanation
    if name in ("Selection", "select"):
        from qwen3_reranker import selection

        return getattr(selection, name)
    if name in __all__:
        from qwen3_reranker import records

        return getattr(records, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
