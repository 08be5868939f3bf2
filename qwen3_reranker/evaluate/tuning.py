"""Choose an instruction on half of the queries, and test it on the others.

Shapes: K instructions, Q queries of a half.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.significance import Values, best_of_p, mean_interval, paired_p
from qwen3_reranker.evaluate.summary import MODEL, SIGNIFICANT, Summary

_FEWEST_QUERIES = 10


@dataclass(frozen=True, slots=True)
class Tried:
    """One instruction: its means on the choosing queries and on those held out."""

    label: str
    chosen_on: float
    held_out: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """Instructions, best first by the choosing half, and the held-out half's verdict.

    gain: the winner's held-out mean minus that of the first instruction, with its 95 % interval and p.
    gain_over_luck: minus the mean of all instructions, which is what drawing one by lot would give, and its p.
    choosing_p: of the winner's lead where it was chosen, allowing for its being the best of so many.
    """

    measure: str
    baseline: str
    tried: tuple[Tried, ...]
    choosing_queries: int
    held_out_queries: int
    gain: float
    low: float
    high: float
    p: float
    gain_over_luck: float
    luck_p: float
    choosing_p: float

    @property
    def winner(self) -> Tried:
        """The best where instructions were chosen."""
        return self.tried[0]

    @property
    def verdict(self) -> str:
        """What may be said of it, in words."""
        if self.winner.label == self.baseline:
            return f"Keep {self.baseline}: none of {len(self.tried) - 1} others was better where they were compared."
        figures = f"{self.gain:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {self.p:.3f}"
        luck = f"{self.gain_over_luck:+.3f} over an instruction drawn by lot, p = {self.luck_p:.3f}"
        winner, baseline = self.winner.label, self.baseline
        if self.p < SIGNIFICANT and self.gain > 0 and self.luck_p < SIGNIFICANT and self.gain_over_luck > 0:
            return f"{winner} is better than {baseline} on queries that did not choose it: {figures}; {luck}."
        return (
            f"{winner} won where instructions were compared, but on queries that did not choose it, it is not shown to "
            f"be better than {baseline} ({figures}) and than luck ({luck}). Keep {baseline}, or label more queries."
        )


def library() -> list[str]:
    """The instructions that are tried where none are given. The first is the model's usual one."""
    texts: list[str] = json.loads(Path(__file__).with_name("instructions.json").read_text(encoding="utf-8"))
    return texts


def held_out(queries: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which of these queries, as "set/query", judge the winner. About half do, by their hash. Others choose it.

    Raises InputError where a half would have fewer than 10.
    """
    held_Q = np.array([_hash(f"{seed}/{query}") % 2 == 1 for query in queries], bool)
    if min(held_Q.sum(), (~held_Q).sum()) < _FEWEST_QUERIES:
        raise InputError(
            f"{len(held_Q):,} labelled queries are too few to choose an instruction by one half and judge it by the "
            f"other; expected at least {_FEWEST_QUERIES} in each half"
        )
    return held_Q


def tune(summary: Summary) -> Tuning:
    """Choose among the models of a summary, which differ in their instructions. The first is the baseline.

    Every query counts alike, whatever its set. Raises InputError for fewer than two models, for several measures, and
    what `held_out` raises.
    """
    systems = [system for system in summary.systems if system.kind == MODEL]
    if len(systems) < 2 or len({each.measure for each in summary.sets}) > 1:
        raise InputError("expected at least two instructions, and sets that are judged by one measure")
    places = range(len(summary.sets))
    rows = [np.concatenate([summary.headline(each, place).values_Q for place in places]) for each in systems]
    names = [
        f"{facts.name}/{query}"
        for place, facts in enumerate(summary.sets)
        for query in summary.headline(systems[0], place).queries
    ]
    return _tuned(summary, [each.label for each in systems], np.array(rows), held_out(names, summary.seed))


def _hash(text: str) -> int:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]


def _tuned(summary: Summary, labels: Sequence[str], values_KQ: Values, held_Q: NDArray[np.bool_]) -> Tuning:
    choosing_KQ, judging_KQ = values_KQ[:, ~held_Q], values_KQ[:, held_Q]
    order = np.argsort(-choosing_KQ.mean(axis=1), kind="stable")
    winner = int(order[0])
    over_first, over_luck = judging_KQ[winner] - judging_KQ[0], judging_KQ[winner] - judging_KQ.mean(axis=0)
    low, high = mean_interval([over_first], [1.0], seed=summary.seed)
    return Tuning(
        measure=summary.headline_name,
        baseline=labels[0],
        tried=tuple(
            Tried(labels[place], float(choosing_KQ[place].mean()), float(judging_KQ[place].mean())) for place in order
        ),
        choosing_queries=choosing_KQ.shape[1],
        held_out_queries=judging_KQ.shape[1],
        gain=float(over_first.mean()),
        low=low,
        high=high,
        p=paired_p([over_first], [1.0], seed=summary.seed),
        gain_over_luck=float(over_luck.mean()),
        luck_p=paired_p([over_luck], [1.0], seed=summary.seed),
        choosing_p=best_of_p(choosing_KQ[1:] - choosing_KQ[0], seed=summary.seed),
    )
