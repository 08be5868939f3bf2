"""Similarity: txtai's callable, a query and texts to (index, score) of each, best first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from qwen3_reranker import score
from qwen3_reranker.compat.model_options import device_options, opened
from qwen3_reranker.errors import InputError
from qwen3_reranker.record_texts import record_texts
from qwen3_reranker.reranker import Reranker

Scored = list[tuple[int, float]]


class Similarity:
    """`txtai.pipeline.Similarity(path, crossencode=True)` and `txtai.pipeline.CrossEncoder`, with a Reranker inside.

    txtai's pipeline Reranker takes it as its similarity. path: what Reranker opens, or an open one. quantize: run in
    int8. gpu: True for cuda, or a device's name; False for the CPU. options: those of Reranker.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Reranker,
        quantize: bool = False,
        gpu: bool | int | str = False,
        *,
        crossencode: bool = True,
        instruction: str | None = None,
        **options: Any,
    ) -> None:
        if not crossencode:
            raise InputError("Similarity is a cross-encoder here: leave out crossencode, or give True")
        device = {True: "cuda", False: None}.get(gpu, gpu) if isinstance(gpu, bool) else gpu
        chosen = {**device_options(device), **({"precision": "int8"} if quantize else {}), **options}
        self.reranker = opened(path, chosen)
        self.instruction = instruction

    @overload
    def __call__(
        self, query: str, texts: Sequence[str], multilabel: bool | None = True, labels: object = None, **_: Any
    ) -> Scored: ...
    @overload
    def __call__(
        self, query: list[str], texts: Sequence[str], multilabel: bool | None = True, labels: object = None, **_: Any
    ) -> list[Scored]: ...
    def __call__(
        self,
        query: str | list[str],
        texts: Sequence[str],
        multilabel: bool | None = True,
        labels: object = None,
        **_: Any,
    ) -> Scored | list[Scored]:
        """(index in texts, score) of each text, best first by logit; for a list of queries, a list of such lists.

        multilabel: True gives probabilities, False a softmax over the texts, None logits. labels has no effect: there
        is one. Raises InputError and QueryTooLongError.
        """
        listed = record_texts("texts", texts, None).texts
        if not isinstance(query, str):
            return [self(each, listed, multilabel) for each in record_texts("query", query, None).texts]
        logits_N = self.reranker.score(query, listed, self.instruction).logits
        if multilabel:
            scores = score.probabilities(logits_N)
        elif multilabel is None:
            scores = logits_N
        else:
            powers = np.exp(logits_N.astype(np.float64) - logits_N.max(initial=0))
            scores = powers / powers.sum()
        return [(int(index), float(scores[index])) for index in np.argsort(-logits_N, kind="stable")]
