"""A cascade: one model scores all documents, and another the best of them, whose scores count."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from qwen3_reranker.arguments import refuse_below
from qwen3_reranker.errors import InputError
from qwen3_reranker.recheck import RecheckedTexts
from qwen3_reranker.records import Cascade, DocumentScores, Usage

Model = TypeVar("Model")
_NOTHING = Usage(0, 0, 0, 0)
#: The band where none is given: so many times top_k.
BANDS = 3


@dataclass(frozen=True, slots=True)
class CascadePlan(Generic[Model]):
    """The second model of a cascade, and how many documents it scores."""

    then: Model
    band: int


def checked_band(band: int | None, top_k: int | None) -> int:
    """The same band as an int; None takes three times top_k. Raises InputError unless the best top_k fit into it."""
    if top_k is None:
        raise InputError("then finds the best top_k documents: say how many, as in top_k=10")
    if band is None:
        return BANDS * top_k
    refuse_below("band", band, 1)
    if band < top_k:
        raise InputError(f"band must be at least top_k, as the second model finds the best {top_k}, got {band}")
    return operator.index(band)


class BandedLists:
    """The lists of some queries on their way through a cascade.

    lists: each query with its documents. band: how many distinct texts of a list the second model scores. A list with
    no more is for the second model alone.
    """

    def __init__(self, lists: Sequence[tuple[str, Sequence[str]]], band: int) -> None:
        self._lists, self._band = lists, band
        self._is_long = [len(set(texts)) > band for _, texts in lists]
        self._rechecked: list[RecheckedTexts] = []
        #: What the first model scores.
        self.of_first = [each for each, is_long in zip(lists, self._is_long, strict=True) if is_long]

    def of_second(self, first: Sequence[DocumentScores]) -> list[tuple[str, Sequence[str]]]:
        """What the second model scores, a list for each query. first: the scores of `of_first`."""
        self._rechecked = [
            RecheckedTexts(texts, scores) for (_, texts), scores in zip(self.of_first, first, strict=True)
        ]
        bands = iter([each.of(each.order_U[: self._band]) for each in self._rechecked])
        return [
            (query, next(bands) if is_long else texts)
            for (query, texts), is_long in zip(self._lists, self._is_long, strict=True)
        ]

    def scores(self, first: Sequence[DocumentScores], second: Sequence[DocumentScores]) -> list[DocumentScores]:
        """The second model's scores of each list; those of documents that it did not score are -inf."""
        long = iter(zip(self._rechecked, first, strict=True))
        found = []
        for (_, texts), is_long, by_second in zip(self._lists, self._is_long, second, strict=True):
            if not is_long:
                cascade = Cascade(self._band, 0, len(texts), _NOTHING, by_second.usage)
                found.append(replace(by_second, cascade=cascade))
                continue
            rechecked, by_first = next(long)
            rechecked.add(rechecked.order_U[: self._band], by_second)
            cascade = Cascade(self._band, len(texts), rechecked.rechecked, by_first.usage, by_second.usage)
            scores = rechecked.scores()
            # A document that the second model did not read has no score that a cut could have changed.
            usage = replace(scores.usage, truncated_documents=by_second.usage.truncated_documents)
            found.append(replace(scores, usage=usage, cascade=cascade))
        return found


def part_of_progress(
    on_progress: Callable[[float], None] | None, first: float, last: float
) -> Callable[[float], None] | None:
    """What to call with the share of a part that goes from `first` to `last` of the whole."""
    return on_progress and (lambda share: on_progress(first + (last - first) * share))
