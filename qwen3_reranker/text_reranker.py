"""TextReranker: what a ranker of texts does, wherever the scores of its pairs are computed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import score
from qwen3_reranker.arguments import numbered, refuse_non_instruction, refuse_non_query, surrogates_found
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.cascade import BandedLists, CascadePlan, checked_band, part_of_progress
from qwen3_reranker.errors import InputError
from qwen3_reranker.explanation import Explainer
from qwen3_reranker.record_texts import Key, RecordTexts, record_texts, texts_by_query
from qwen3_reranker.records import CONFIDENCE, DocumentScores, Ranking, Screen

Result = TypeVar("Result")
#: A query and the documents to score for it.
QueryTexts = tuple[str, Sequence[str]]
#: Pairs of several queries that are scored together: what each pair takes is in memory at once.
MOST_PAIRS = 8192
# How the best documents are found for less work; None where all are scored.
_Stages: TypeAlias = "Screen | CascadePlan[TextReranker] | None"


class TextReranker(Explainer):
    """Ranks texts by the scores of (query, document) pairs. `Reranker` is one, and so is a server at a URL."""

    @abstractmethod
    def _refuse_screen(self, precision: str) -> None:
        """Raise InputError unless it can screen in this precision."""

    @abstractmethod
    def _score_lists(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        screen: Screen | None = None,
    ) -> list[DocumentScores]:
        """The scores of each query's documents, in input order; with a screen those that its best need."""

    @abstractmethod
    async def _awaited(
        self,
        asked: QueryTexts,
        instruction: str | None,
        on_progress: OnProgress | None,
        finish: Callable[[DocumentScores], Result],
        screen: Screen | None = None,
    ) -> Result:
        """What `finish` makes of the scores of one list; the event loop is free meanwhile."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds, once a call under way has ended. It cannot be used afterwards."""

    def rank(
        self,
        query: str,
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
        screen: str | None = None,
        confidence: float = CONFIDENCE,
        then: TextReranker | None = None,
        band: int | None = None,
    ) -> Ranking:
        """The documents by how strongly the model says that they answer the query, best first.

        documents: strings or records, in a list, generator, array, Series, DataFrame or Arrow table; `hit.item` is the
        record. key: the field, attribute or column that holds a record's text, or a function of the record.
        top_k: how many to return, None for all. instruction: what counts as an answer, in English for best results;
        None takes `default_instruction`. on_progress is called with the share done, up to 1.
        screen: a faster precision, such as "int8", for all documents; those that may be among the best top_k are then
        scored in the model's own. confidence: how surely the best are the same as without it; `ranking.screening` says
        what was done. The screen's weights are loaded at its first call, and stay in memory beside the model's own.
        then: another reranker, best a larger one, that scores the `band` best documents of this one: the best top_k
        are of its scores. band: None for three times top_k; `ranking.cascade` says what each model did.
        Documents with equal logits keep their input order. Raises InputError, RecordError for a record without a text,
        QueryTooLongError, and CheckpointError for weights that give no finite logit.
        """
        top_k = score.checked_top_k(top_k)
        stages = self._stages(top_k, screen, confidence, then, band)
        refuse_non_query("query", query)
        read = record_texts("documents", documents, key)
        return score.rank(self._score_texts(query, read.texts, instruction, on_progress, stages), read, top_k)

    async def arank(
        self,
        query: str,
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
        screen: str | None = None,
        confidence: float = CONFIDENCE,
        then: TextReranker | None = None,
        band: int | None = None,
    ) -> Ranking:
        """Like `rank`, in a thread: the event loop is free meanwhile, and calls of this model run in their order.

        A call that is cancelled stops computing at the end of a batch. on_progress is called in the thread.
        """
        top_k = score.checked_top_k(top_k)
        stages = self._stages(top_k, screen, confidence, then, band)
        refuse_non_query("query", query)
        read = record_texts("documents", documents, key)

        with _checked(query, read.texts, instruction):
            if isinstance(stages, CascadePlan):
                scores = await self._awaited_cascade((query, read.texts), instruction, on_progress, stages)
                return score.rank(scores, read, top_k)
            return await self._awaited(
                (query, read.texts), instruction, on_progress, lambda scores: score.rank(scores, read, top_k), stages
            )

    def rank_many(
        self,
        queries: Iterable[str],
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
        screen: str | None = None,
        confidence: float = CONFIDENCE,
        then: TextReranker | None = None,
        band: int | None = None,
    ) -> list[Ranking]:
        """A ranking for each query, in input order. Beginnings that queries share are computed once.

        documents: those of all queries, or a list with a collection for each query. Computed and cached tokens of a
        ranking are a share of the whole call's, in proportion to its prompt_tokens; their sums are exact. The rest is
        that of `rank`; with a screen each ranking has its own usage. Errors name `queries[i]` and `documents[i][j]`.
        """
        top_k = score.checked_top_k(top_k)
        stages = self._stages(top_k, screen, confidence, then, band)
        asked = record_texts("queries", queries, None).texts
        for index, query in enumerate(asked):
            refuse_non_query(f"queries[{index}]", query)
        by_query = texts_by_query("documents", documents, len(asked), key)
        rankings: list[Ranking] = []
        done, total = 0, sum(len(each.texts) for each in by_query)

        def advance(share: float) -> None:
            if on_progress:
                on_progress((done + share * pairs) / total)

        for some in _queries_of_a_call(by_query):
            pairs = sum(len(each.texts) for each in by_query[some])
            scores = self._score_many(
                asked[some], by_query[some], instruction, advance if on_progress else None, some.start, stages
            )
            rankings += [score.rank(*each, top_k) for each in zip(scores, by_query[some], strict=True)]
            done += pairs
        return rankings

    def score(
        self,
        query: str,
        documents: Iterable[Any],
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
    ) -> DocumentScores:
        """Logit and probability of each document, in input order, with receipts and usage.

        documents, instruction, key, on_progress and errors are those of `rank`.
        """
        refuse_non_query("query", query)
        return self._score_texts(query, record_texts("documents", documents, key).texts, instruction, on_progress)

    def logits(
        self,
        pairs: Iterable[tuple[str, str]],
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Logit yes - no of each (query, document), (num_pairs,) float32, in input order.

        instruction and on_progress are those of `rank`. Raises InputError, QueryTooLongError, and CheckpointError for
        weights that give no finite logit.
        """
        return self._score_pairs(pairs, instruction, on_progress, "logits")

    def probabilities(
        self,
        pairs: Iterable[tuple[str, str]],
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Probability of yes of each (query, document), (num_pairs,) float32, in input order; else like `logits`."""
        return self._score_pairs(pairs, instruction, on_progress, "probabilities")

    def _score_pairs(
        self, pairs: Iterable[tuple[str, str]], instruction: str | None, on_progress: OnProgress | None, wanted: str
    ) -> NDArray[np.float32]:
        """The numbers of that name of each pair. Pairs in a row with one query are one list."""
        known = _listed(pairs)
        lists = [(query, [text for _, text in some]) for query, some in groupby(known, key=lambda pair: pair[0])]

        def named() -> Iterator[tuple[str, str]]:
            for index, pair in enumerate(known):
                yield from zip((f"the query of pairs[{index}]", f"the document of pairs[{index}]"), pair, strict=True)
            yield "instruction", instruction or ""

        refuse_non_instruction(instruction)
        with surrogates_found(named):
            scores = self._score_lists(lists, instruction, on_progress)
        return np.concatenate([np.zeros(0, np.float32), *(getattr(each, wanted) for each in scores)])

    def _stages(
        self, top_k: int | None, screen: str | None, confidence: float, then: TextReranker | None, band: int | None
    ) -> _Stages:
        """How the best are found; None for the scores of all documents. Raises InputError for what makes no sense."""
        if then is not None or band is not None:
            if screen is not None:
                raise InputError('leave out screen or then: a first model with precision="int8" is fast by itself')
            if not isinstance(then, TextReranker):
                wanted = 'the Reranker that scores the best of this one, as in then=Reranker("Qwen/Qwen3-Reranker-4B")'
                raise InputError(f"then must be {wanted}, got {then!r:.80}")
            if then is self:
                raise InputError("then must be another model: this one would score the same documents twice")
            return CascadePlan(then, checked_band(band, top_k))
        if screen is not None:
            self._refuse_screen(screen)
        return Screen.of(screen, confidence, top_k)

    def _score_texts(
        self,
        query: str,
        texts: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
        stages: _Stages = None,
    ) -> DocumentScores:
        with _checked(query, texts, instruction):
            [scores] = self._staged_lists([(query, texts)], instruction, on_progress, stages)
        return scores

    def _staged_lists(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        stages: _Stages,
    ) -> list[DocumentScores]:
        if not isinstance(stages, CascadePlan):
            return self._score_lists(lists, instruction, on_progress, stages)
        banded = BandedLists(lists, stages.band)
        first = self._score_lists(banded.of_first, instruction, part_of_progress(on_progress, 0, 0.5))
        rest = part_of_progress(on_progress, 0.5, 1)
        return banded.scores(first, stages.then._score_lists(banded.of_second(first), instruction, rest))

    async def _awaited_cascade(
        self,
        asked: QueryTexts,
        instruction: str | None,
        on_progress: OnProgress | None,
        cascade: CascadePlan[TextReranker],
    ) -> DocumentScores:
        banded = BandedLists([asked], cascade.band)
        early, late = part_of_progress(on_progress, 0, 0.5), part_of_progress(on_progress, 0.5, 1)
        first = [await self._awaited(each, instruction, early, lambda scores: scores) for each in banded.of_first]
        [of_second] = banded.of_second(first)
        second = await cascade.then._awaited(of_second, instruction, late, lambda scores: scores)
        [scores] = banded.scores(first, [second])
        return scores

    def _score_many(
        self,
        queries: Sequence[str],
        by_query: Sequence[RecordTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        first: int,
        stages: _Stages,
    ) -> list[DocumentScores]:
        """The scores of each query's documents. first: the index of the first query in the call."""

        def named() -> Iterator[tuple[str, str]]:
            yield "instruction", instruction or ""
            for index, (query, each) in enumerate(zip(queries, by_query, strict=True), first):
                yield from [(f"queries[{index}]", query), *numbered(each.name, each.texts)]

        refuse_non_instruction(instruction)
        lists = [(query, each.texts) for query, each in zip(queries, by_query, strict=True)]
        with surrogates_found(named):
            return self._staged_lists(lists, instruction, on_progress, stages)


def _checked(query: str, texts: Sequence[str], instruction: str | None) -> AbstractContextManager[None]:
    """Refuse an instruction that is none, and name a text that is not Unicode by its argument."""
    refuse_non_instruction(instruction)
    return surrogates_found(lambda: named_texts(query, texts, instruction))


def named_texts(query: str, documents: Sequence[str], instruction: str | None) -> list[tuple[str, str]]:
    """The texts of a call with one query, by the names of its arguments."""
    return [("query", query), ("instruction", instruction or ""), *numbered("documents", documents)]


def _queries_of_a_call(by_query: Sequence[RecordTexts]) -> Iterator[slice]:
    """Ranges of queries with few enough pairs for one plan, each of at least one query."""
    start = pairs = 0
    for index, each in enumerate(by_query):
        if index > start and pairs + len(each.texts) > MOST_PAIRS:
            yield slice(start, index)
            start, pairs = index, 0
        pairs += len(each.texts)
    if by_query:
        yield slice(start, len(by_query))


def _listed(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    if isinstance(pairs, str | Mapping | Set) or not isinstance(pairs, Iterable):
        raise InputError(f"pairs must be a list of (query, document), got {type(pairs).__name__}")
    known = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(f"pairs[{index}] must be a query and a document, both strings, got {pair!r:.80}")
        refuse_non_query(f"the query of pairs[{index}]", pair[0])
        known.append((pair[0], pair[1]))
    return known
