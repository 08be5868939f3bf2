"""DSPy: a module that reranks what a retriever found."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import dspy

from qwen3_reranker.errors import InputError
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.reranker import Reranker


class RerankPassages(dspy.Module):
    """The best passages for a query, as a Prediction with `passages` and their `scores`, probabilities of yes.

    retrieve: finds the passages of a query: a retriever or another function whose result has `passages`, or is a list
    of strings; None for a module that is called with passages. k: how many passages to keep. model: what Reranker
    opens, or an opened Reranker. instruction: what counts as an answer, None takes the model's own. options: keyword
    arguments of Reranker, such as precision.
    """

    def __init__(
        self,
        retrieve: Callable[[str], Any] | None = None,
        *,
        k: int = 3,
        model: str | os.PathLike[str] | Reranker = "nano",
        instruction: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.retrieve, self.k, self.instruction = retrieve, k, instruction
        self._named = NamedModel(Reranker, model, options)

    def forward(self, query: str, passages: Sequence[str] | None = None) -> dspy.Prediction:
        """The best `k` of `passages`, or of those that `retrieve` finds, best first."""
        if passages is None:
            if self.retrieve is None:
                raise InputError("give passages, or make the module with a retriever")
            found = self.retrieve(query)
            passages = getattr(found, "passages", found)
        ranking = self._named.open().rank(query, passages, self.k, self.instruction)
        return dspy.Prediction(passages=[hit.document for hit in ranking], scores=[hit.probability for hit in ranking])

    async def aforward(self, query: str, passages: Sequence[str] | None = None) -> dspy.Prediction:
        """The same in a thread."""
        return await asyncio.to_thread(self.forward, query, passages)
