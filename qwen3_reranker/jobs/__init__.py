"""Files of rows -> folders of parts, scored or embedded, in this process or on Ray; a stopped job goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen3_reranker.jobs.rerank_batch import RerankBatch

__all__ = ["RerankBatch"]


def __getattr__(name: str) -> Any:
    # The options of a job are read by every --help; numpy and the model wait until a batch comes.
    if name == "RerankBatch":
        from qwen3_reranker.jobs.rerank_batch import RerankBatch

        return RerankBatch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
