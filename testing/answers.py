"""Answers as a scheduler gives them, with scores that a test chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwen3_reranker.records import Receipt
from qwen3_reranker.serve.ask import Answer, Ask, Spent, Timings


def answer_to(ask: Ask, logits: Sequence[float], cost: str | None = None) -> Answer:
    """What a model says that gives these logits, ten tokens to each pair, and cuts the first document by half."""
    assert len(logits) == len(ask.documents)
    order = sorted(range(len(logits)), key=lambda place: -logits[place])
    return Answer(
        request_id="req_1",
        model="nano",
        created=1_700_000_000,
        logits=logits,
        probabilities=[1 / (1 + math.exp(-logit)) for logit in logits],
        order=order[: ask.top_n],
        receipts=[Receipt(4, 4 if place else 2, 3, 3) for place in range(len(logits))],
        spent=Spent(10 * len(logits), 7 * len(logits), 1, cost),
        timings=Timings(0.001, 0.002, 0.003, 0.006),
        warnings=ask.warnings,
    )
