"""Haystack: embedders of texts and of documents. They also run in `Pipeline.run_async`."""

# Haystack reads the types of `run` from its annotations, so they must not become strings.
import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.integrations.haystack import HaystackModel


@component
class Qwen3TextEmbedder(HaystackModel):
    """Embeds a query with a Qwen3-Embedding model.

    model: what Embedder opens: a Hub id, a folder or a GGUF file. instruction: what the query looks for, None takes the
    model's own. options: keyword arguments of Embedder, such as dim.
    """

    _kind = Embedder

    def __init__(self, *, model: str, instruction: str | None = None, options: dict[str, Any] | None = None) -> None:
        self.configure(model=model, instruction=instruction, options=options)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """The vector of the query, of length 1."""
        [vector] = self.named.open().queries([text], self.arguments["instruction"]).tolist()
        return {"embedding": vector}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """The same in a thread."""
        return await asyncio.to_thread(self.run, text)


@component
class Qwen3DocumentEmbedder(HaystackModel):
    """Embeds documents with a Qwen3-Embedding model. model, options: as for Qwen3TextEmbedder.

    meta_fields_to_embed: fields of a document's meta that are read before its content, with embedding_separator
    between.
    """

    _kind = Embedder

    def __init__(
        self,
        *,
        model: str,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        options: dict[str, Any] | None = None,
    ) -> None:
        fields = {"meta_fields_to_embed": meta_fields_to_embed, "embedding_separator": embedding_separator}
        self.configure(model=model, **fields, options=options)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """The documents as copies with their vectors, of length 1."""
        vectors = self.named.open().documents([self.text_of(each) for each in documents]).tolist()
        return {"documents": [replace(each, embedding=vector) for each, vector in zip(documents, vectors, strict=True)]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """The same in a thread."""
        return await asyncio.to_thread(self.run, documents)
