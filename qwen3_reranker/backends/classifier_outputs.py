"""The outputs of a sequence classifier, as vLLM gives them -> the logit of a row."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3_reranker.weights import Checkpoint, names


def logit_columns(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The columns of yes and of no among the outputs of a row; a single one where that is yes - no already."""
    head = checkpoint.head
    return head.labels or (0,) if head.tensor.name == names.SCORE else (0,)


def logit(outputs: Sequence[float], columns: Sequence[int]) -> float:
    """The logit of one row."""
    yes, *no = (outputs[column] for column in columns)
    return yes - no[0] if no else yes
