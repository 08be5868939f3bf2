"""DocumentRanker: what `rerankers.Reranker(...)` returns, texts or documents to RankedResults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from copy import copy
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from qwen3_reranker.compat.model_options import device_options, dtype_options, opened
from qwen3_reranker.errors import InputError
from qwen3_reranker.records import Ranking
from qwen3_reranker.reranker import Reranker as OpenReranker


@dataclass(slots=True)
class TextDocument:
    """`rerankers.Document`: a text with an id and anything else."""

    text: str
    doc_id: str | int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    document_type: str = "text"


@dataclass(slots=True)
class Result:
    """A document with its score, a probability, and its rank, counted from 1. The document's fields are its own too."""

    document: Any
    score: float
    rank: int

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if hasattr(self.document, name):
            return getattr(self.document, name)
        metadata = self.document.metadata or {}
        if name in metadata:
            return metadata[name]
        raise AttributeError(f"neither the result nor its document has {name!r}")


@dataclass(slots=True)
class RankedResults:
    """The results of a query, best first."""

    results: list[Result]
    query: str
    has_scores: bool = True

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Result:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def results_count(self) -> int:
        """The number of results."""
        return len(self.results)

    def top_k(self, k: int) -> list[Result]:
        """The best k."""
        return self.results[:k]

    def get_result_by_docid(self, doc_id: int | str) -> Result | None:
        """The first result whose document has this id, None if there is none."""
        return next((each for each in self.results if each.document.doc_id == doc_id), None)

    def get_score_by_docid(self, doc_id: int | str) -> float | None:
        """The score of `get_result_by_docid`."""
        found = self.get_result_by_docid(doc_id)
        return None if found is None else found.score


class DocumentRanker:
    """The ranker of the library rerankers, with a Qwen3-Reranker inside.

    model_name: what qwen3_reranker.Reranker opens, or an open one. device, dtype: as torch names them ("fp16" and
    "bf16" too). instruction: what counts as an answer. lang, model_type, verbose and batch_size have no effect.
    options: those of qwen3_reranker.Reranker.
    """

    def __init__(
        self,
        model_name: str | os.PathLike[str] | OpenReranker,
        lang: str = "en",
        model_type: str | None = None,
        verbose: int = 1,
        *,
        device: object = None,
        dtype: object = None,
        batch_size: int | None = None,
        instruction: str | None = None,
        **options: Any,
    ) -> None:
        on_device = device_options(device)
        self.reranker = opened(model_name, {**on_device, **dtype_options(dtype, on_device), **options})
        self.instruction = instruction
        self.ranking_type = "pointwise"

    def rank(
        self,
        query: str,
        docs: Any,
        doc_ids: Sequence[int | str] | None = None,
        metadata: Sequence[dict[str, Any]] | None = None,
        batch_size: int | None = None,
    ) -> RankedResults:
        """The documents, best first by logit; scores are probabilities.

        docs: a string, a document, or a list of either; documents are objects with text, doc_id and metadata, ours or
        those of rerankers. doc_ids, metadata: of each document in place of its own; without any, ids count from 0.
        Raises InputError and QueryTooLongError.
        """
        documents = _documents(docs, doc_ids, metadata)
        return _results(query, self.reranker.rank(query, documents, None, self.instruction, key=_text))

    async def rank_async(self, query: str, docs: Any, doc_ids: Sequence[int | str] | None = None) -> RankedResults:
        """The same for asyncio. Cancelled, it stops computing at the end of a batch."""
        documents = _documents(docs, doc_ids, None)
        return _results(query, await self.reranker.arank(query, documents, None, self.instruction, key=_text))

    def score(self, query: str, doc: str) -> float:
        """The probability that the document answers the query."""
        return float(self.reranker.score(query, [doc], self.instruction).probabilities[0])


Document, Reranker = TextDocument, DocumentRanker
_text = attrgetter("text")


def _results(query: str, ranking: Ranking) -> RankedResults:
    results = [Result(hit.item, hit.probability, place) for place, hit in enumerate(ranking, start=1)]
    return RankedResults(results, query)


def _documents(docs: Any, doc_ids: Sequence[int | str] | None, metadata: Sequence[dict[str, Any]] | None) -> list[Any]:
    given = [docs] if isinstance(docs, str) or hasattr(docs, "text") else docs
    if not isinstance(given, Iterable):
        raise InputError(f"docs must be a string, a document or a list of these, got {type(docs).__name__}")
    documents = [TextDocument(each) if isinstance(each, str) else copy(each) for each in given]
    for name, values in (("doc_id", doc_ids), ("metadata", metadata)):
        if values is not None and not (isinstance(values, Sized) and len(values) == len(documents)):
            got = len(values) if isinstance(values, Sized) else repr(values)
            raise InputError(f"one {name} is needed for each of {len(documents)} documents, got {got}")
    for place, document in enumerate(documents):
        if not isinstance(getattr(document, "text", None), str):
            raise InputError(f"docs[{place}] must be a string or a document with text, got {document!r:.80}")
        if doc_ids is not None:
            document.doc_id = doc_ids[place]
        elif document.doc_id is None:
            document.doc_id = place
        if metadata is not None:
            document.metadata = metadata[place]
    return documents
