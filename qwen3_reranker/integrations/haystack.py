"""Haystack: a ranker, and what it shares with the embedders. It also runs in `Pipeline.run_async`."""

# Haystack reads the types of `run` from its annotations, so they must not become strings.
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils.misc import _deduplicate_documents

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.records import Ranking
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.score import checked_top_k


class HaystackModel:
    """What ranker and embedders share: arguments that YAML holds, and a model that opens before the first run."""

    _kind: type[Reranker] | type[Embedder]

    # Not __init__: `component` makes each class again, and the `super()` of the first does not know the second.
    def configure(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.named: NamedModel[Any] = NamedModel(self._kind, arguments["model"], arguments["options"] or {})

    def warm_up(self) -> None:
        """Open the model."""
        self.named.open()

    async def warm_up_async(self) -> None:
        """Open the model in a thread."""
        await self.named.aopen()

    def close(self) -> None:
        """Let the model go; the next run opens it again."""
        self.named.close()

    async def close_async(self) -> None:
        """Let the model go; the next run opens it again."""
        self.close()

    def to_dict(self) -> dict[str, Any]:
        """The type and the arguments, as YAML holds them."""
        return dict(default_to_dict(self, **self.arguments))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The component that `to_dict` wrote."""
        return default_from_dict(cls, data)

    def text_of(self, document: Document) -> str:
        """Content of a document after the fields of its meta that are to be read; missing content is empty."""
        names = self.arguments["meta_fields_to_embed"] or []
        fields = [str(document.meta[name]) for name in names if document.meta.get(name) is not None]
        return str(self.arguments["embedding_separator"]).join([*fields, document.content or ""])


@component
class Qwen3Ranker(HaystackModel):
    """Sorts documents by how strongly the model says that they answer the query.

    model: what Reranker opens: a Hub id, a folder or a GGUF file. top_k: how many documents to return. instruction:
    what counts as an answer, None takes the model's own. meta_fields_to_embed: fields of a document's meta that are
    read before its content, with embedding_separator between. scale_score: scores are probabilities, 0 to 1; or else
    logits. score_threshold: the least score of a returned document. options: keyword arguments of Reranker.
    """

    _kind = Reranker

    def __init__(
        self,
        *,
        model: str = "nano",
        top_k: int = 10,
        instruction: str | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        scale_score: bool = True,
        score_threshold: float | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.configure(
            model=model,
            top_k=checked_top_k(top_k),
            instruction=instruction,
            meta_fields_to_embed=meta_fields_to_embed,
            embedding_separator=embedding_separator,
            scale_score=scale_score,
            score_threshold=score_threshold,
            options=options,
        )

    @component.output_types(documents=list[Document])
    def run(self, *, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """The best `top_k` documents, best first, as copies with their score. Of equal ids one document is ranked."""
        ranking = self.named.open().rank(query, _deduplicate_documents(documents), **self._how(top_k))
        return {"documents": self._scored(ranking)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, *, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The same for asyncio. Cancelled, it stops computing at the end of a batch."""
        reranker = await self.named.aopen()
        ranking = await reranker.arank(query, _deduplicate_documents(documents), **self._how(top_k))
        return {"documents": self._scored(ranking)}

    def _how(self, top_k: int | None) -> dict[str, Any]:
        chosen = self.arguments["top_k"] if top_k is None else top_k
        return {"top_k": chosen, "instruction": self.arguments["instruction"], "key": self.text_of}

    def _scored(self, ranking: Ranking) -> list[Document]:
        scale, least = self.arguments["scale_score"], self.arguments["score_threshold"]
        ranked = [replace(hit.item, score=hit.probability if scale else hit.logit) for hit in ranking]
        return [each for each in ranked if least is None or each.score >= least]
