"""Examples -> training and held-out examples, by the hash of each query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.example_file import TrainExample, normal

_STEPS = 1 << 32


def split(
    examples: Sequence[TrainExample], share: float, seed: int = 0
) -> tuple[list[TrainExample], list[TrainExample]]:
    """Training and held-out examples. About `share` of the queries are held out, in any order of lines.

    Examples with the same query or a common positive document stay together; the first of their queries in
    alphabetical order decides. If there are two such groups, at least one is held out. Raises InputError for a share
    outside 0 <= share < 1.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"the share to hold out must be at least 0 and below 1, got {share}")
    hashes = [_hash(first, seed) for first in _first_queries(examples)]
    # With few queries all hashes may be above the share. Then hold out the lowest group, unless it is the only one.
    limit = max(share, min(hashes, default=0.0) + 1 / _STEPS) if share and len(set(hashes)) > 1 else 0.0
    sides: tuple[list[TrainExample], list[TrainExample]] = ([], [])
    for example, own_hash in zip(examples, hashes, strict=True):
        sides[own_hash < limit].append(example)
    return sides


def unlike_asked(training: Sequence[TrainExample], held_out: Sequence[TrainExample], share: float) -> str | None:
    """Why less than half or more than twice the share is held out. None if neither."""
    total, groups = len(training) + len(held_out), len(set(_first_queries([*training, *held_out])))
    if not share or 0.5 <= len(held_out) / (share * total) <= 2.0:
        return None
    return (
        f"{len(held_out):,} of {total:,} queries are held out instead of {share:.0%}: queries with a common positive "
        f"stay together, here in {groups:,} groups, and a group's hash decides; another share or seed changes the split"
    )


def _first_queries(examples: Sequence[TrainExample]) -> list[str]:
    """For each example, the alphabetically first query of its group (connected by queries or positives)."""
    parent = list(range(len(examples)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first_with: dict[tuple[str, str], int] = {}
    for number, each in enumerate(examples):
        for key in (("query", normal(each.query)), *(("document", normal(text)) for text in each.positives)):
            parent[root(number)] = root(first_with.setdefault(key, number))
    first: dict[int, str] = {}
    for number, each in enumerate(examples):
        query, group = normal(each.query), root(number)
        first[group] = min(first.get(group, query), query)
    return [first[root(number)] for number in range(len(examples))]


def _hash(query: str, seed: int) -> float:
    key = f"{seed}\0{query}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little") / _STEPS
