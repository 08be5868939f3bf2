"""A model -> each precision's drift from float32 and speed, on a text set."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.drift.advice import fastest_within_limit
from qwen3_reranker.drift.comparison import Drift, compare
from qwen3_reranker.drift.texts import Question, text_set
from qwen3_reranker.registry import SPECS
from qwen3_reranker.reranker import Reranker

# Precisions take turns, so that other programs on the machine slow all of them down.
_TURNS = 5
# Reads every weight once, which is not a precision's speed.
_WARM_UP = (Question("English", "a query", ("a document",), (), ()),)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What each precision does to a model's judgement, and float32's logits as the scale.

    lowest, highest: float32's logits over all documents. spread: their standard deviation among the documents of one
    query, mean of the queries. documents: of all queries together. documents_per_second: of each precision, from texts
    to logits, loading left out; float32's, times the median of what each turn was faster.
    """

    model: str
    queries: int
    documents: int
    lowest: float
    highest: float
    spread: float
    drifts: tuple[Drift, ...]
    documents_per_second: Mapping[str, float]

    @property
    def advised(self) -> str:
        """The fastest precision that stays within the limit on average, "float32" among them."""
        return fastest_within_limit(
            self.documents_per_second, {drift.precision: drift.mean_delta for drift in self.drifts}
        )


def measure_drift(
    model: str | os.PathLike[str] = "nano",
    precisions: Sequence[str] = SPECS["cpu"].reduced_precisions,
    *,
    questions: Sequence[Question] | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> DriftReport:
    """Score questions in float32 and in each precision, and compare logits and speed.

    One model at a time is in memory. model, options: those of Reranker, `precision` left out. questions: None for the
    built-in text set. on_progress: called with the share done, up to 1. Raises what Reranker raises.
    """
    chosen = list(text_set() if questions is None else questions)
    names = tuple(dict.fromkeys(("float32", *precisions)))
    logits: dict[str, list[NDArray[np.float32]]] = {name: [np.empty(0, np.float32)] * len(chosen) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    # Fused kernels are compiled anew whenever a model is opened, which takes longer than all texts.
    is_compiled = options.get("kernels") == "compiled"
    turns = 1 if is_compiled else min(_TURNS, len(chosen))
    done = 0
    for turn in range(turns):
        some = chosen[turn::turns]
        for name in names:

            def advance(share: float, before: int = done, count: int = len(some)) -> None:
                if on_progress:
                    on_progress((before + share * count) / (len(names) * len(chosen)))

            with Reranker(model, **{**options, "precision": name}) as reranker:
                logits_of(reranker, some if is_compiled else _WARM_UP)
                start = time.perf_counter()
                logits[name][turn::turns] = logits_of(reranker, some, advance)
                seconds[name].append(time.perf_counter() - start)
            done += len(some)
    expected = logits["float32"]
    drifts = tuple(compare(name, expected, logits[name]) for name in precisions)
    together = np.concatenate(expected)
    exact_rate = len(together) / sum(seconds["float32"])
    return DriftReport(
        model=os.fspath(model),
        queries=len(expected),
        documents=len(together),
        lowest=float(together.min()),
        highest=float(together.max()),
        spread=float(np.mean([logits_D.std() for logits_D in expected])),
        drifts=drifts,
        documents_per_second={
            name: exact_rate * float(np.median(np.divide(seconds["float32"], taken))) for name, taken in seconds.items()
        },
    )


def logits_of(
    reranker: Reranker, questions: Sequence[Question], on_progress: OnProgress | None = None
) -> list[NDArray[np.float32]]:
    """The logits of each question's documents, (documents,) float32, from one call."""
    pairs = [(question.query, document) for question in questions for document in question.documents]
    logits_N = reranker.logits(pairs, on_progress=on_progress)
    ends = np.cumsum([len(question.documents) for question in questions])
    return np.split(logits_N, ends[:-1])
