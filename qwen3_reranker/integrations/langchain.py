"""LangChain: a document compressor, a cross encoder and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import ConfigDict, Field, PrivateAttr

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.records import Ranking
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.selection import select
from qwen3_reranker.selection_options import SelectionOptions


class _LangChainModel(Serializable):
    """What all three are made of. `langchain_core.load` writes and reads them."""

    model_config = ConfigDict(extra="forbid")

    model: str = "nano"
    """What `Reranker` or `Embedder` opens: a Hub id, a folder or a GGUF file."""
    instruction: str | None = None
    """What counts as an answer, in English for best results. None takes the model's own."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of `Reranker` or `Embedder`, such as precision, max_length and dim."""

    _kind: ClassVar[type[Reranker] | type[Embedder]] = Reranker
    _named: NamedModel[Any] = PrivateAttr()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def model_post_init(self, context: Any, /) -> None:
        self._named = NamedModel(self._kind, self.model, self.options)


class Qwen3DocumentCompressor(_LangChainModel, BaseDocumentCompressor):
    """Keeps the documents that answer the query best, best first.

    Each is a copy with its probability of yes, 0 to 1, in metadata["relevance_score"]. Raises InputError for a blank
    query and what `Reranker` raises.
    """

    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep, None for all."""
    fold: float | None = Field(default=None, gt=0, le=1)
    """Fold copies into the best of them, as `select` does: 0.8 finds those with small changes."""
    diversity: float | None = Field(default=None, ge=0, le=1)
    """Prefer documents that differ from those already kept, as `select` does."""
    fit: int | None = Field(default=None, ge=1)
    """Keep the best that have at most so many of the model's tokens together."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse diversity without top_n and fit, as pydantic does a field, before anything is scored."""
        SelectionOptions(diversity=self.diversity, fit=self.fit).refuse_boundless(self.top_n, "top_n")
        super().model_post_init(context)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best `top_n` documents, best first, or those that the set consists of, in the order of choice."""
        reranker = self._named.open()
        return self._kept(reranker.rank(query, documents, self._ranked, self.instruction, key="page_content"))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The same for asyncio. Cancelled, it stops computing at the end of a batch."""
        reranker = await self._named.aopen()
        return self._kept(await reranker.arank(query, documents, self._ranked, self.instruction, key="page_content"))

    @property
    def _ranked(self) -> int | None:
        """How many documents to rank: a set is chosen from all."""
        return self.top_n if self.fold is self.diversity is self.fit is None else None

    def _kept(self, ranking: Ranking) -> list[Document]:
        chosen = select(ranking, self.top_n, fold=self.fold, diversity=self.diversity, fit=self.fit)
        return [
            hit.item.model_copy(update={"metadata": {**hit.item.metadata, "relevance_score": hit.probability}})
            for hit in chosen
        ]


class Qwen3CrossEncoder(_LangChainModel, BaseCrossEncoder):
    """Scores pairs, for LangChain's own CrossEncoderReranker."""

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The probability of yes of each (query, document), 0 to 1, in input order."""
        scores: list[float] = self._named.open().probabilities(text_pairs, self.instruction).tolist()
        return scores


class Qwen3Embeddings(_LangChainModel, Embeddings):
    """Vectors of length 1 of a Qwen3-Embedding model. Only queries have an instruction."""

    _kind: ClassVar[type[Reranker] | type[Embedder]] = Embedder
    model: str
    """What `Embedder` opens: a Hub id, a folder or a GGUF file."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each document."""
        vectors: list[list[float]] = self._named.open().documents(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        [vector] = self._named.open().queries([text], self.instruction).tolist()
        return list(vector)
