"""Examples -> those to train on and those held out for evaluation, by the hash of each query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.examples import Example, normal

_STEPS = 1 << 32


def split(examples: Sequence[Example], share: float, seed: int = 0) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples; `share` is about how many queries are held out, whatever the order of lines.

    Examples of one query, and those with a positive document in common, fall on one side together: the side of the
    query among them that comes first in the alphabet. Some are held out wherever two can be parted. Raises InputError
    for a share that is not at least 0 and below 1.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"the share to hold out must be at least 0 and below 1, got {share}")
    places = [_place(first, seed) for first in _first_queries(examples)]
    # Few queries may all lie above the share; those that lie lowest are a better test than none, but one is no test.
    highest = max(share, min(places, default=0.0) + 1 / _STEPS) if share and len(set(places)) > 1 else 0.0
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example, place in zip(examples, places, strict=True):
        sides[place < highest].append(example)
    return sides


def unlike_asked(training: Sequence[Example], held_out: Sequence[Example], share: float) -> str | None:
    """Why less than half or more than twice the share is held out, in a sentence; None where it is about that."""
    total, groups = len(training) + len(held_out), len(set(_first_queries([*training, *held_out])))
    if not share or 0.5 <= len(held_out) / (share * total) <= 2.0:
        return None
    return (
        f"{len(held_out):,} of {total:,} queries are held out, and {share:.0%} were asked for: queries with a positive "
        f"in common stay together, in {groups:,} groups here, and a group's hash decides; another share or seed draws "
        "others"
    )


def _first_queries(examples: Sequence[Example]) -> list[str]:
    """For each example the first query of all that are joined to it by a query or a positive, directly or by others."""
    above = list(range(len(examples)))

    def root(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    owner: dict[tuple[str, str], int] = {}
    for number, each in enumerate(examples):
        for key in (("query", normal(each.query)), *(("document", normal(text)) for text in each.positives)):
            above[root(number)] = root(owner.setdefault(key, number))
    first: dict[int, str] = {}
    for number, each in enumerate(examples):
        query, place = normal(each.query), root(number)
        first[place] = min(first.get(place, query), query)
    return [first[root(number)] for number in range(len(examples))]


def _place(query: str, seed: int) -> float:
    key = f"{seed}\0{query}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little") / _STEPS
