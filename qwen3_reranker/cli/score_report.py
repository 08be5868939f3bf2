"""Pairs and their logits -> the records that are written, and what all of them took, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.ranking_output import shortest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qwen3_reranker.cli.opened_reranker import ChosenCalibration
    from qwen3_reranker.jobs.pairs import Pair
    from qwen3_reranker.jobs.part_task import PartWork

#: The fields that each record gets.
SCORES = ("logit", "probability")


@dataclass(slots=True)
class WorkTally:
    """What was computed so far. Where a server computes, its tokens are not known."""

    rows: int = 0
    tokens: int = 0
    computed: int = 0
    cut: int = 0

    def add(self, num_rows: int, work: PartWork) -> None:
        """Count a part."""
        self.rows += num_rows
        self.tokens += work.tokens
        self.computed += work.computed
        self.cut += work.cut

    @property
    def token_facts(self) -> list[str]:
        """Tokens, the share that needed no computing, and how many rows were cut; empty where that is not known."""
        if not self.tokens:
            return []
        saved = 1 - self.computed / self.tokens
        return [
            f"{self.tokens:,} tokens, {self.computed:,} computed ({saved:.0%} saved)",
            f"{self.cut:,} cut" if self.cut else "none cut",
        ]


def scored_records(
    pairs: Sequence[Pair], logits_N: NDArray[np.float32], calibrated: ChosenCalibration | None = None
) -> list[dict[str, Any]]:
    """The record of each pair, with its two numbers. calibrated: what gives the probabilities; None for the model."""
    from qwen3_reranker import score

    probabilities = score.probabilities if calibrated is None else calibrated.calibration.probabilities
    numbers = zip(pairs, logits_N.tolist(), probabilities(logits_N).tolist(), strict=True)
    return [
        {**pair.record, "logit": shortest(logit), "probability": shortest(probability)}
        for pair, logit, probability in numbers
    ]
