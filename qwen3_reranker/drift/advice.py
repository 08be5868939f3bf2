"""Speeds and drifts of precisions -> the one to use."""

from __future__ import annotations

from collections.abc import Mapping

#: Mean move of a logit up to which a precision is advised: 0.05 moves a probability by at most 0.0125.
MEAN_LIMIT = 0.05
# A precision that is faster by less than this share is no reason to move logits further.
_AS_FAST = 0.1


def fastest_within_limit(documents_per_second: Mapping[str, float], mean_deltas: Mapping[str, float]) -> str:
    """The fastest precision with a mean move within MEAN_LIMIT. Of equally fast ones, it is the nearest.

    documents_per_second: measured on this processor, "float32" included. mean_deltas: those of the other precisions.
    """
    deltas = {"float32": 0.0, **mean_deltas}
    within = {name: speed for name, speed in documents_per_second.items() if deltas[name] <= MEAN_LIMIT}
    enough = (1 - _AS_FAST) * max(within.values())
    return min((name for name, speed in within.items() if speed >= enough), key=deltas.__getitem__)
