"""Pairs and their logits -> the records that are written, and what all of them took, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.ranking_output import shortest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qwen3_reranker.jobs.pairs import Pair
    from qwen3_reranker.jobs.part_scores import PartScores

#: The fields that each record gets.
SCORES = ("logit", "probability")


@dataclass(slots=True)
class ScoreTally:
    """What was computed so far. Where a server computes, its tokens are not known."""

    pairs: int = 0
    tokens: int = 0
    computed: int = 0
    cut: int = 0

    def add(self, scores: PartScores) -> None:
        """Count a part."""
        self.pairs += len(scores.logits_N)
        self.tokens += scores.tokens
        self.computed += scores.computed
        self.cut += scores.cut

    @property
    def token_facts(self) -> list[str]:
        """Tokens, the share that needed no computing, and how many pairs were cut."""
        saved = 1 - self.computed / self.tokens if self.tokens else 0.0
        return [
            f"{self.tokens:,} tokens, {self.computed:,} computed ({saved:.0%} saved)",
            f"{self.cut:,} cut" if self.cut else "none cut",
        ]


def scored_records(pairs: Sequence[Pair], logits_N: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The record of each pair, with its two numbers."""
    from qwen3_reranker.score import probabilities

    numbers = zip(pairs, logits_N.tolist(), probabilities(logits_N).tolist(), strict=True)
    return [
        {**pair.record, "logit": shortest(logit), "probability": shortest(probability)}
        for pair, logit, probability in numbers
    ]
