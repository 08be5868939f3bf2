"""Held-out records -> reciprocal rank of the positive among BM25's best documents, for nano and BM25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from qwen3_reranker.evaluate import Measure
from qwen3_reranker.evaluate.measures import ranked_arrays
from recipes.nano.groups import Group, Groups, batches, tree
from recipes.nano.network import NanoNetwork

CUT = 160
DOCUMENTS = 32
_RR = Measure("RR")


@dataclass(frozen=True, slots=True)
class Placed:
    """Mean reciprocal ranks of the positive."""

    nano: float
    bm25: float
    queries: int

    def as_json(self) -> dict[str, float | int]:
        """Rounded."""
        return {"nano": round(self.nano, 4), "bm25": round(self.bm25, 4), "queries": self.queries}


def held_out_groups(groups: Groups, most_per_source: int) -> list[Group]:
    """The same held-out groups in every call, with their own instruction and BM25's best as negatives."""
    mix = replace(
        groups.mix, documents=DOCUMENTS, short_documents=DOCUMENTS, hard=0.0, ranked=1.0, default_instruction=0.0
    )
    drawn = groups.with_mix(mix)
    rng = np.random.default_rng(groups.seed)
    cache = groups.cache
    rows = np.flatnonzero(cache.held_out & ~cache.synthetic)
    chosen: list[Group] = []
    for source in range(len(cache.names["source"])):
        own = rng.permutation(rows[cache.source[rows] == source])[:most_per_source]
        chosen += [drawn.group(int(row), rng, CUT) for row in own]
    return chosen


def placed(
    network: NanoNetwork, chosen: Sequence[Group], prefix: Sequence[int], suffix: Sequence[int], names: Sequence[str]
) -> dict[str, Placed]:
    """Reciprocal ranks by source, and "mean" over sources."""
    ranks: dict[str, list[tuple[float, float]]] = {}
    for batch in batches(chosen, 12_000):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits_GD = network.logits(tree(batch, prefix, suffix)).numpy()
        for group, logits_D in zip(batch, logits_GD, strict=True):
            both = (_reciprocal_rank(logits_D), _reciprocal_rank(group.lexical_D))
            ranks.setdefault(names[group.source], []).append(both)
    found = {name: _mean(pairs, len(pairs)) for name, pairs in sorted(ranks.items())}
    means = [(each.nano, each.bm25) for each in found.values()]
    return {**found, "mean": _mean(means, sum(each.queries for each in found.values()))}


def _mean(pairs: Sequence[tuple[float, float]], queries: int) -> Placed:
    nano, bm25 = np.mean(pairs, axis=0).tolist()
    return Placed(nano, bm25, queries)


def _reciprocal_rank(scores_D: NDArray[np.float32]) -> float:
    """The reciprocal rank of the first document."""
    return _RR.expected(ranked_arrays(np.arange(len(scores_D)) == 0, scores_D))
