"""Examples -> those to train on and those held out for evaluation, by the hash of each query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.examples import Example, normal

_STEPS = 1 << 32


def split(examples: Sequence[Example], share: float, seed: int = 0) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples: a query falls on the same side in every file that holds it, whatever the order.

    Held-out examples that share a positive document with a training one go to training, as they would be no test.
    Raises InputError for a share that is not in 0..1.
    """
    if not 0.0 <= share < 1.0:
        raise InputError(f"the share to hold out must be at least 0 and below 1, got {share}")
    held = [_place(each.query, seed) < share for each in examples]
    while True:
        known = {normal(text) for each, out in zip(examples, held, strict=True) if not out for text in each.positives}
        moved = [
            out and not any(normal(text) in known for text in each.positives)
            for each, out in zip(examples, held, strict=True)
        ]
        if moved == held:
            break
        # What goes over brings its other positives along.
        held = _with_their_queries(examples, moved)
    return (
        [each for each, out in zip(examples, held, strict=True) if not out],
        [each for each, out in zip(examples, held, strict=True) if out],
    )


def _with_their_queries(examples: Sequence[Example], held: Sequence[bool]) -> list[bool]:
    """A query stays on one side: with one of its examples in training, all are."""
    trained = {normal(each.query) for each, out in zip(examples, held, strict=True) if not out}
    return [normal(each.query) not in trained for each in examples]


def _place(query: str, seed: int) -> float:
    key = f"{seed}\0{normal(query)}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little") / _STEPS
