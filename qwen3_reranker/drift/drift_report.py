"""A model -> the drift of each precision from float32, on a text set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.drift.comparison import Drift, compare
from qwen3_reranker.drift.texts import Question, text_set
from qwen3_reranker.registry import SPECS
from qwen3_reranker.reranker import Reranker


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What each precision does to a model's judgement, and float32's logits as the scale to judge it by.

    lowest, highest: float32's logits over all documents. spread: their standard deviation among the documents of one
    query, mean of the queries. documents: of all queries together.
    """

    model: str
    queries: int
    documents: int
    lowest: float
    highest: float
    spread: float
    drifts: tuple[Drift, ...]

    @property
    def advised(self) -> str:
        """The first precision that stays within the limit on average, or "float32"."""
        return next((drift.precision for drift in self.drifts if drift.within_limit), "float32")


def measure_drift(
    model: str | os.PathLike[str] = "nano",
    precisions: Sequence[str] = SPECS["cpu"].reduced_precisions,
    *,
    questions: Sequence[Question] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> DriftReport:
    """Score questions in float32 and in each precision, and compare.

    model, options: those of Reranker, `precision` left out. questions: None for the built-in text set.
    on_progress: called with the share done, up to 1. Raises what Reranker raises.
    """
    chosen = text_set() if questions is None else questions
    runs = 1 + len(precisions)

    def score(precision: str, before: int) -> list[NDArray[np.float32]]:
        def advance(share: float) -> None:
            if on_progress:
                on_progress((before + share) / runs)

        with Reranker(model, **{**options, "precision": precision}) as reranker:
            return logits_of(reranker, chosen, advance)

    expected = score("float32", 0)
    drifts = tuple(
        compare(precision, expected, score(precision, before)) for before, precision in enumerate(precisions, start=1)
    )
    together = np.concatenate(expected)
    return DriftReport(
        model=os.fspath(model),
        queries=len(expected),
        documents=len(together),
        lowest=float(together.min()),
        highest=float(together.max()),
        spread=float(np.mean([logits_D.std() for logits_D in expected])),
        drifts=drifts,
    )


def logits_of(
    reranker: Reranker, questions: Sequence[Question], on_progress: OnProgress | None = None
) -> list[NDArray[np.float32]]:
    """The logits of each question's documents, (documents,) float32, from one call."""
    pairs = [(question.query, document) for question in questions for document in question.documents]
    logits_N = reranker.logits(pairs, on_progress=on_progress)
    ends = np.cumsum([len(question.documents) for question in questions])
    return np.split(logits_N, ends[:-1])
