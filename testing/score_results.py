"""Results as the server gives them, with scores that a test chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwen3_reranker.records import Receipt, Usage
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult, StageSeconds


def result_of(request: ScoreRequest, logits: Sequence[float], cost: str | None = None) -> ScoreResult:
    """A result with these logits, ten tokens for each pair, and half of the first document cut off."""
    assert len(logits) == len(request.documents)
    order = sorted(range(len(logits)), key=lambda index: -logits[index])
    return ScoreResult(
        request_id="req_1",
        model="nano",
        created=1_700_000_000,
        logits=logits,
        probabilities=[1 / (1 + math.exp(-logit)) for logit in logits],
        order=order[: request.top_n],
        receipts=[Receipt(4, 4 if index else 2, 3, 3) for index in range(len(logits))],
        usage=Usage(10 * len(logits), 7 * len(logits), 0, 1),
        cost=cost,
        seconds=StageSeconds(0.001, 0.002, 0.003, 0.006),
    )
