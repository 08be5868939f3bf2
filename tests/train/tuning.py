"""Tiny data and settings for tests of fine-tuning: fifty queries that a network of a few thousand weights can learn."""

from __future__ import annotations

import random
from pathlib import Path

from qwen3_reranker import prompt
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.train.example_file import TrainExample
from qwen3_reranker.train.sampling import Groups
from qwen3_reranker.train.train_options import TrainOptions
from qwen3_reranker.weights import Checkpoint, open_checkpoint

WORDS = [
    "river", "mountain", "engine", "garden", "planet", "violin", "bridge", "harbour", "forest", "battery", "cheese",
    "window",
]  # fmt: skip


def fifty(seed: int = 1, *, scored: bool = False, count: int = 50) -> list[TrainExample]:
    """Queries with one positive and three negatives that nothing but memory tells apart."""
    rng = random.Random(seed)
    examples = []
    for number in range(count):
        texts = [f"{rng.choice(WORDS)} {rng.choice(WORDS)} {rng.randrange(100)}" for _ in range(4)]
        scores = tuple(rng.uniform(-2, 2) for _ in texts) if scored else None
        examples.append(
            TrainExample(
                f"{rng.choice(WORDS)} {seed} {number}",
                (texts[0],),
                tuple(texts[1:]),
                positive_scores=scores and scores[:1],
                negative_scores=scores and scores[1:],
            )
        )
    return examples


def opened(folder: Path) -> tuple[Checkpoint, Tokens]:
    """A checkpoint and its tokens."""
    checkpoint, card = open_checkpoint(folder), prompt.template("card")
    tokens = Tokens(checkpoint.tokenizer, prefix=card.prefix, suffix=card.suffix, max_length=512, truncate_queries=True)
    return checkpoint, tokens


def groups_of(examples: list[TrainExample], tokens: Tokens, options: TrainOptions) -> Groups:
    """Groups in the card's prompt."""
    return Groups(examples, prompt.template("card"), tokens, options)
