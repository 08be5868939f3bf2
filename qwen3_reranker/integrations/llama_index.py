"""LlamaIndex: a node postprocessor and an embedding."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.reranker import Reranker

_DISPATCHER = get_dispatcher(__name__)


class Qwen3Rerank(BaseNodePostprocessor):
    """Keeps the nodes that answer the query best, best first; a node's score is its probability of yes, 0 to 1.

    Raises InputError without a query, for a blank one and for an unusable option, and what `Reranker` raises.
    """

    model: str = Field(default="nano", description="What Reranker opens: a Hub id, a folder or a GGUF file.")
    top_n: int = Field(default=2, ge=1, description="How many nodes to return.")
    instruction: str | None = Field(default=None, description="What counts as an answer; None takes the model's own.")
    keep_retrieval_score: bool = Field(
        default=False, description='Whether metadata["retrieval_score"] keeps the score that a node came with.'
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of Reranker.")
    _named: NamedModel[Reranker] = PrivateAttr()

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in what `to_dict` writes."""
        return "Qwen3Rerank"

    def model_post_init(self, context: Any, /) -> None:
        self._named = NamedModel(Reranker, self.model, self.options)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("a query is needed to rank nodes; give query_str or query_bundle")
        started = {"query": query_bundle, "nodes": nodes, "top_n": self.top_n, "model_name": self.model}
        _DISPATCHER.event(ReRankStartEvent(**started))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            ranking = self._named.open().rank(query_bundle.query_str, nodes, self.top_n, self.instruction, key=_text)
            ranked = [self._scored(hit.item, hit.probability) for hit in ranking]
            event.on_end(payload={EventPayload.NODES: ranked})
        _DISPATCHER.event(ReRankEndEvent(nodes=ranked))
        return ranked

    def _scored(self, given: NodeWithScore, score: float) -> NodeWithScore:
        node = given.node
        if self.keep_retrieval_score:
            node = node.model_copy(update={"metadata": {**node.metadata, "retrieval_score": given.score}})
        return NodeWithScore(node=node, score=score)


class Qwen3Embedding(BaseEmbedding):
    """Vectors of length 1 of a Qwen3-Embedding model. Only queries have an instruction.

    Raises InputError for an unusable option, and what `Embedder` raises.
    """

    model_name: str = Field(description="What Embedder opens: a Hub id, a folder or a GGUF file.")
    instruction: str | None = Field(default=None, description="What a query looks for; None takes the model's own.")
    options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of Embedder, such as dim.")
    _named: NamedModel[Embedder] = PrivateAttr()

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in what `to_dict` writes."""
        return "Qwen3Embedding"

    def model_post_init(self, context: Any, /) -> None:
        self._named = NamedModel(Embedder, self.model_name, self.options)

    def _get_query_embedding(self, query: str) -> list[float]:
        [vector] = self._named.open().queries([query], self.instruction).tolist()
        return list(vector)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._named.open().documents(texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _text(given: NodeWithScore) -> str:
    return str(given.node.get_content(metadata_mode=MetadataMode.EMBED))
