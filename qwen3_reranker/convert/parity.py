"""Two checkpoints of one model -> how far their scores differ on the same pairs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.drift import Question, compare, text_set
from qwen3_reranker.reranker import Reranker

#: How far a logit may move, by the encoding of the weights; for trained weights, with logits up to 10.
BOUNDS = {"exact": 1e-4, "f32": 1e-4, "f16": 0.05, "bf16": 0.2, "q8_0": 0.5, "q4_0": 3.0}


@dataclass(frozen=True, slots=True)
class Parity:
    """How far scores moved, over `pairs` pairs.

    max_delta, mean_delta: of |logit - logit of the source|. kendall_tau: mean over queries.
    """

    pairs: int
    max_delta: float
    mean_delta: float
    kendall_tau: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether no logit moved beyond the bound."""
        return self.max_delta <= self.bound


def measure_parity(
    source: str | os.PathLike[str],
    converted: str | os.PathLike[str],
    bound: float,
    *,
    revision: str | None = None,
    prompt: str | None = None,
    questions: Sequence[Question] | None = None,
    on_progress: OnProgress | None = None,
) -> Parity:
    """Score the same pairs in float32 with both models, one in memory at a time.

    prompt: of the source. The converted model is read as its own files say, so a wrong prompt shows.
    questions: None for three documents of each built-in query. Raises what Reranker raises.
    """
    chosen = [_short(question) for question in text_set()] if questions is None else list(questions)
    pairs = [(question.query, document) for question in chosen for document in question.documents]
    ends = np.cumsum([len(question.documents) for question in chosen])[:-1]
    logits = []
    for turn, (model, version, named) in enumerate(((source, revision, prompt), (converted, None, None))):

        def advance(share: float, turn: int = turn) -> None:
            if on_progress:
                on_progress((turn + share) / 2)

        options: dict[str, Any] = {"prompt": named, "disk_cache": False}
        with Reranker(model, revision=version, **options) as reranker:
            logits.append(np.split(reranker.logits(pairs, on_progress=advance), ends))
    found = compare("converted", *logits)
    return Parity(len(pairs), found.max_delta, found.mean_delta, found.kendall_tau, bound)


def _short(question: Question) -> Question:
    return Question(
        question.language, question.query, question.relevant[:1], question.related[:1], question.unrelated[:1]
    )
