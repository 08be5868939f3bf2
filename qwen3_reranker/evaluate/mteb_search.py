"""A Reranker as a model of mteb 2, by its search protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.first_stage import best
from qwen3_reranker.evaluate.labelled import Run
from qwen3_reranker.evaluate.mteb_data import document_texts, queries_of, require_mteb, task_instruction
from qwen3_reranker.reranker import Reranker


class MtebSearch:
    """What `mteb.evaluate(MtebSearch(reranker), task)` takes for a model: the best of a first stage, reranked.

    Reranking tasks (FollowIR, MultiLongDocReranking) bring their lists; a retrieval task needs a first stage: lists
    that mteb was given (task.convert_to_reranking), or `first_stage`, a run of the subset at hand. depth: documents of
    a list that are reranked, None for all. instruction: for queries that bring none; None takes the task's own, or else
    the model's. Scores are logits, in float32, so that no two saturate to one. Raises UnavailableError without mteb,
    and InputError where a task brings no lists.
    """

    def __init__(
        self,
        reranker: Reranker,
        *,
        first_stage: Run | None = None,
        depth: int | None = None,
        instruction: str | None = None,
    ) -> None:
        require_mteb()
        self._reranker = reranker
        self._first_stage = first_stage
        self._depth = depth
        self._instruction = instruction
        self._documents: dict[str, str] = {}

    @property
    def mteb_model_meta(self) -> Any:
        """The model's name for mteb's results, in the form owner/name that it asks for."""
        from mteb.models import ModelMeta

        name = self._reranker.checkpoint.name.strip("/").split("/")
        options = self._reranker.options
        revision = f"{options.prompt}-{options.backend}-{options.precision}"
        return ModelMeta.create_empty(overwrites={"name": "/".join(["local", *name][-2:]), "revision": revision})

    def index(self, corpus: Iterable[Mapping[str, Any]], **_: Any) -> None:
        """Take note of the documents' texts."""
        self._documents = document_texts(corpus)

    def search(
        self,
        queries: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        top_ranked: Mapping[str, Iterable[str]] | None = None,
        top_k: int | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """The logits of each query's `top_k` documents, as {query: {document: logit}}."""
        run = self._lists(top_ranked, task_metadata)
        of_task = task_instruction(task_metadata) if self._instruction is None else self._instruction
        found: dict[str, dict[str, float]] = {}
        for query, each in queries_of(queries).items():
            listed = list(best(run.get(query, {}), self._depth))
            texts = [self._documents[document] for document in listed]
            chosen = of_task if each.instruction is None else each.instruction
            hits = self._reranker.rank(each.text, texts, top_k, instruction=chosen)
            found[query] = {listed[hit.index]: hit.logit for hit in hits}
        return found

    def _lists(self, top_ranked: Mapping[str, Iterable[str]] | None, task_metadata: Any) -> Run:
        if top_ranked is not None:
            return {
                query: {document: float(-place) for place, document in enumerate(documents)}
                for query, documents in top_ranked.items()
            }
        if self._first_stage is None:
            raise InputError(
                f"{task_metadata.name} brings no lists to rerank: give a first_stage, or task.convert_to_reranking"
            )
        return self._first_stage
