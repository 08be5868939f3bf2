"""Judgements of two models -> cascades of both, and the smallest band that is not worse than the second model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qwen3_reranker.evaluate.first_stage import FirstStage
from qwen3_reranker.evaluate.labelled import LabelledSet, Run


@dataclass(frozen=True, slots=True)
class CascadeParts:
    """Which cascade a system is. then_pairs, pairs: (query, document) that the second model scores, and all of them."""

    first: str
    then: str
    band: int
    then_pairs: int
    pairs: int


@dataclass(frozen=True, slots=True)
class BandChoice:
    """Which bands to evaluate below the model `then`, a candidate's label, and by how much one may be worse."""

    then: str
    bands: tuple[int, ...]
    margin: float


def reranked_above(first: Run, run: Run, depth: int) -> Run:
    """The order of `first` with its first `depth` documents in that of `run`."""
    made = {}
    for query, scores in first.items():
        taken = _taken(scores, depth)
        above = _places({document: run.get(query, {}).get(document, -np.inf) for document in taken})
        below = _places({document: score for document, score in scores.items() if document not in taken})
        made[query] = {**{document: place + len(below) for document, place in above.items()}, **below}
    return made


def work_of_band(
    labelled: LabelledSet, stage: FirstStage, first: Run, band: int
) -> tuple[Mapping[str, float], int, int]:
    """By query, the share of its list's characters that is in the band; pairs in the bands, and in the lists."""
    shares, in_bands = {}, 0
    for query, scores in first.items():
        lengths = {each: len(stage.texts.get(each) or labelled.documents[each]) for each in scores}
        taken = _taken(scores, band)
        shares[query] = sum(lengths[each] for each in taken) / max(sum(lengths.values()), 1)
        in_bands += len(taken)
    return shares, in_bands, sum(map(len, first.values()))


def seconds_of_band(
    first_seconds: Sequence[float], then_seconds: Sequence[float], shares: Sequence[float]
) -> list[float]:
    """The seconds of each query: of the first model, and of the second for its share of the list.

    A list that is all in the band is for the second model alone.
    """
    return [
        (first if share < 1 else 0.0) + share * then
        for first, then, share in zip(first_seconds, then_seconds, shares, strict=True)
    ]


def _taken(scores: Mapping[str, float], depth: int) -> set[str]:
    """The first `depth` documents.

    A tie that goes across the depth is left out: which of its documents to take is not known, and their ids must not
    say.
    """
    last = sorted((np.float32(score) for score in scores.values()), reverse=True)[depth : depth + 1]
    return {document for document, score in scores.items() if not last or np.float32(score) > last[0]}


def _places(scores: Mapping[str, float]) -> dict[str, float]:
    """Places among the distinct scores, from 0 up. They keep order and ties, and put one list above another."""
    rounded = {document: np.float32(score) for document, score in scores.items()}
    place_of = {score: place for place, score in enumerate(sorted(set(rounded.values())))}
    return {document: float(place_of[score]) for document, score in rounded.items()}
