"""RerankBatch: batches of columns -> the same with logit and probability, for `map_batches` of Ray Data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.arguments import numbered, refuse_non_query, refuse_non_strings, surrogates_found
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.part_scores import score_texts
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.score import probabilities
from qwen3_reranker.weights.hub_name import is_server


class RerankBatch:
    """A model that adds two columns to batches: `ds.map_batches(RerankBatch, batch_size=1024, compute=...)`.

    model, revision, options: those of Reranker. query_column, document_column: the columns of the texts.
    instruction: what makes a document relevant, None takes the model's own. The documents of a query share its tokens
    if they come in one batch: sort the dataset by the query, and choose a large batch_size. On Ray the model uses as
    many threads as the actor has CPUs.
    Raises what Reranker raises.
    """

    def __init__(
        self,
        model: str = "nano",
        *,
        query_column: str = "query",
        document_column: str = "document",
        instruction: str | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> None:
        if is_server(model):
            raise InputError(f"RerankBatch needs a model on the worker's machine, got the server {model}")
        if (num_threads := _cpus_of_this_worker()) is not None:
            options.setdefault("num_threads", num_threads)
        self._columns, self._instruction = (query_column, document_column), instruction
        self._reranker = Reranker(model, revision=revision, **options)

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The columns of the batch, with `logit` and `probability`, (num_rows,) float32 each, in its order.

        batch: arrays by the names of their columns, which is Ray Data's batch_format="numpy". Raises InputError for a
        batch of another kind, a column that is missing, and a text that is none.
        """
        if not isinstance(batch, Mapping):
            raise InputError(f'expected a dictionary of columns (batch_format="numpy"), got {type(batch).__name__}')
        for name in self._columns:
            if name not in batch:
                raise InputError(f"no column {name!r} (the batch has: {', '.join(map(repr, batch)) or 'none'})")
        queries, documents = (np.asarray(batch[name]).tolist() for name in self._columns)
        for name, texts in zip(self._columns, (queries, documents), strict=True):
            refuse_non_strings(name, texts)
        for name, query in numbered(self._columns[0], queries):
            refuse_non_query(name, query)

        def named() -> list[tuple[str, str]]:
            texts = [*numbered(self._columns[0], queries), *numbered(self._columns[1], documents)]
            return [*texts, ("instruction", self._instruction or "")]

        with surrogates_found(named):
            logits_N = score_texts(self._reranker, queries, documents, self._instruction).logits_N
        return {**batch, "logit": logits_N, "probability": probabilities(logits_N)}


def _cpus_of_this_worker() -> int | None:
    """The CPUs that Ray gave to this actor, or None outside of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized() or ray.get_runtime_context().get_actor_id() is None:
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
    return max(1, int(cpus)) if cpus else None
