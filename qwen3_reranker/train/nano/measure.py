"""Held-out records -> how often the positive scores above a random and above a hard negative, source by source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from qwen3_reranker.train.nano.groups import Group, Groups, batches, tree
from qwen3_reranker.train.nano.judge import Judge

CUT = 256


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of pairs in the right order; `hard` is NaN where a source has no labelled negatives."""

    random: float
    hard: float
    pairs: int

    def as_json(self) -> dict[str, float | int | None]:
        """Rounded, with None for a missing share."""
        hard = None if np.isnan(self.hard) else round(self.hard, 4)
        return {"random": round(self.random, 4), "hard": hard, "pairs": self.pairs}


def held_out_groups(groups: Groups, most_per_source: int) -> list[Group]:
    """The same held-out groups at every call: labelled records only, their own instruction, no lexical negatives."""
    mix = replace(groups.mix, documents=8, hard=3, lexical=0, lexical_pool=16, default_instruction=0.0)
    drawn = Groups.__new__(Groups)
    drawn.__dict__.update(groups.__dict__, mix=mix)
    rng = np.random.default_rng(groups.seed)
    cache = groups.cache
    rows = np.flatnonzero(cache.held_out)
    chosen: list[Group] = []
    for source in range(len(cache.names["source"])):
        own = rng.permutation(rows[cache.source[rows] == source])[:most_per_source]
        chosen += [drawn.group(int(row), rng, CUT) for row in own]
    return chosen


def accuracies(
    network: Judge, chosen: Sequence[Group], prefix: Sequence[int], suffix: Sequence[int], names: Sequence[str]
) -> dict[str, Accuracy]:
    """By source, and under "overall" over all pairs of all sources."""
    wins: dict[tuple[str, bool], list[float]] = {}
    for batch in batches(chosen, 12_000):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits_GD = network.logits(tree(batch, prefix, suffix)).numpy()
        for group, logits_D in zip(batch, logits_GD, strict=True):
            for place in range(1, len(group.documents)):
                won = float(logits_D[0] > logits_D[place]) + 0.5 * float(logits_D[0] == logits_D[place])
                for name in (names[group.source], "overall"):
                    wins.setdefault((name, place <= group.hard), []).append(won)
    known = [*sorted({name for name, _ in wins} - {"overall"}), "overall"]
    return {
        name: Accuracy(
            float(np.mean(wins.get((name, False), [np.nan]))),
            float(np.mean(wins.get((name, True), [np.nan]))),
            len(wins.get((name, False), [])) + len(wins.get((name, True), [])),
        )
        for name in known
    }
