"""Reranker: the whole flow, from a query and documents to a ranking.

rows = prompt and tokens of each pair      tokens.py
plan = every distinct prefix once          plan/
states = the network at each row's end     runner.py, backends/
logits = yes - no of each state            heads.py
ranking = probability and order            score.py
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import score
from qwen3_reranker.arguments import (
    numbered,
    refuse_non_instruction,
    refuse_non_query,
    refuse_non_strings,
    surrogates_found,
)
from qwen3_reranker.async_calls import CallThread
from qwen3_reranker.backends.base import Executed, OnProgress
from qwen3_reranker.backends.opening import open_backend
from qwen3_reranker.engine_options import EngineOptions, RerankerOptions, shows_options
from qwen3_reranker.errors import InputError
from qwen3_reranker.heads import YesNoHead
from qwen3_reranker.opened_model import OpenedModel
from qwen3_reranker.plan import Plan
from qwen3_reranker.record_texts import Key, RecordTexts, record_texts, texts_by_query
from qwen3_reranker.records import NO_LIMITS, DocumentScores, Limits, Ranking, Row, Usage
from qwen3_reranker.registry import SPECS
from qwen3_reranker.tokens import Tokens, refuse_framed_texts
from qwen3_reranker.weights import open_checkpoint

_LOG = logging.getLogger(__name__)
# Pairs of a plan of several queries: their tokens and final states are in memory at once.
_MOST_PAIRS = 8192


class Reranker(OpenedModel):
    """A Qwen3-Reranker model, ready to judge documents.

    model: "nano" (bundled), a Hub id such as "Qwen/Qwen3-Reranker-0.6B" or "owner/name:Q8_0", a folder or a GGUF
        file. revision: a Hub branch, tag or commit. plan_only: load no weights; `tree` works, scoring
        does not. The other options stand below.
    Raises ModelNotFoundError, CheckpointError for files that cannot be run, InputError for an unusable option.
    Calls from several threads are safe; they run one after the other.
    """

    @shows_options(RerankerOptions)
    def __init__(
        self,
        model: str | os.PathLike[str] = "nano",
        *,
        revision: str | None = None,
        plan_only: bool = False,
        **options: Unpack[RerankerOptions],
    ) -> None:
        chosen = EngineOptions.of(options)
        checkpoint = open_checkpoint(model, revision)
        head = checkpoint.head
        self._template = checkpoint.template(chosen.prompt)
        if not self._template.prefix:
            refuse_framed_texts(checkpoint.tokenizer)
        if chosen.prompt is None and checkpoint.stored_prompt.note:
            _LOG.warning("%s", checkpoint.stored_prompt.note)
        self.tokens = Tokens(
            checkpoint.tokenizer,
            **self._template.constants,
            max_length=checkpoint.config.row_length(chosen.max_length),
            special_tokens=chosen.special_tokens,
            truncate_queries=chosen.truncate_queries,
            fast=SPECS[chosen.backend].overlap_characters is not None,
        )
        checkpoint.refuse_larger_tokenizer(self.tokens.num_entries)
        #: The rows of the head's tensor that judge.
        self.answer_ids = head.labels or tuple(self.tokens.word_id(word) for word in self._template.answers)
        self.head = YesNoHead(head.rows(*self.answer_ids), f"{head.tensor.file}: {head.tensor.name}")
        backend = None if plan_only else open_backend(checkpoint, chosen, self.tokens.prefix_ids)
        arguments = {"model": model, "revision": revision, "plan_only": plan_only, **options}
        super().__init__(checkpoint, replace(chosen, prompt=self._template.name), backend, arguments)
        self._call_thread = CallThread()

    @property
    def default_instruction(self) -> str | None:
        """The instruction of a call that gives none: the checkpoint's, or else the prompt's. None if it reads none."""
        return self._template.default_instruction

    def rank(
        self,
        query: str,
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
    ) -> Ranking:
        """The documents by how strongly the model says that they answer the query, best first.

        documents: strings or records, in a list, generator, array, Series, DataFrame or Arrow table; `hit.item` is the
        record. key: the field, attribute or column that holds a record's text, or a function of the record.
        top_k: how many to return, None for all. instruction: what counts as an answer, in English for best results;
        None takes `default_instruction`. on_progress is called with the share done, up to 1.
        Documents with equal logits keep their input order. Raises InputError, RecordError for a record without a text,
        QueryTooLongError, and CheckpointError for weights that give no finite logit.
        """
        top_k = score.checked_top_k(top_k)
        refuse_non_query("query", query)
        read = record_texts("documents", documents, key)
        return score.rank(self._score_texts(query, read.texts, instruction, on_progress), read, top_k)

    async def arank(
        self,
        query: str,
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
    ) -> Ranking:
        """Like `rank`, in a thread: the event loop is free meanwhile, and calls of this model run in their order.

        A call that is cancelled stops computing at the end of a batch. on_progress is called in the thread.
        """
        top_k = score.checked_top_k(top_k)
        refuse_non_query("query", query)
        read = record_texts("documents", documents, key)

        def call() -> Ranking:
            return score.rank(self._score_texts(query, read.texts, instruction, on_progress), read, top_k)

        return await self._call_thread.run(call)

    def rank_many(
        self,
        queries: Iterable[str],
        documents: Iterable[Any],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        key: Key = "text",
        on_progress: OnProgress | None = None,
    ) -> list[Ranking]:
        """A ranking for each query, in input order. Beginnings that queries share are computed once.

        documents: those of all queries, or a list with a collection for each query. Computed and cached tokens of a
        ranking are a share of the whole call's, in proportion to its prompt_tokens; their sums are exact. The rest is
        that of `rank`; errors name `queries[i]` and `documents[i][j]`.
        """
        top_k = score.checked_top_k(top_k)
        asked = record_texts("queries", queries, None).texts
        for index, query in enumerate(asked):
            refuse_non_query(f"queries[{index}]", query)
        by_query = texts_by_query("documents", documents, len(asked), key)
        rankings: list[Ranking] = []
        done, total = 0, sum(len(each.texts) for each in by_query)

        def advance(share: float) -> None:
            if on_progress:
                on_progress((done + share * pairs) / total)

        for some in _queries_of_a_plan(by_query):
            pairs = sum(len(each.texts) for each in by_query[some])
            scores = self._score_lists(
                asked[some], by_query[some], instruction, advance if on_progress else None, some.start
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
        queries, documents = _unzipped(pairs)

        def named() -> Iterator[tuple[str, str]]:
            for index, pair in enumerate(zip(queries, documents, strict=True)):
                yield from zip((f"the query of pairs[{index}]", f"the document of pairs[{index}]"), pair, strict=True)
            yield "instruction", instruction or ""

        with surrogates_found(named):
            return self._run(queries, documents, instruction, on_progress)[1]

    def probabilities(
        self,
        pairs: Iterable[tuple[str, str]],
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Probability of yes of each (query, document), (num_pairs,) float32, in input order; else like `logits`."""
        return score.probabilities(self.logits(pairs, instruction, on_progress=on_progress))

    def rows(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        instruction: str | None = None,
        *,
        limits: Limits = NO_LIMITS,
        cache_salt: int = 0,
    ) -> list[Row]:
        """The tokens of each pair, for callers who gather the rows of many requests.

        limits: what is cut beyond what must be. cache_salt: rows of different salts share only the template.
        Raises InputError, QueryTooLongError.
        """
        refuse_non_strings("queries", queries)
        refuse_non_strings("documents", documents)
        for index, query in enumerate(queries):
            refuse_non_query(f"queries[{index}]", query)

        def named() -> list[tuple[str, str]]:
            texts = [*numbered("queries", queries), *numbered("documents", documents)]
            return [*texts, ("instruction", instruction or "")]

        with surrogates_found(named):
            return self._rows(queries, documents, instruction, limits, cache_salt)

    def judge(self, rows: Sequence[Row]) -> Generator[None, None, NDArray[np.float32]]:
        """The logits of rows from `rows`, (num_rows,) float32. Others may run between its steps.

        Raises CheckpointError for weights, and PrecisionError for a precision, that give no finite logit.
        """
        executed = yield from self.runner.steps(self.runner.plan(rows))
        return self.runner.read_out(self.head, executed)

    def tree(self, query: str, documents: Iterable[Any], instruction: str | None = None, *, key: Key = "text") -> Plan:
        """What `rank` would compute with nothing cached; printing it shows the tree and its saving."""
        refuse_non_query("query", query)
        texts = record_texts("documents", documents, key).texts
        with surrogates_found(lambda: _named(query, texts, instruction)):
            return self.runner.plan(self._rows([query] * len(texts), texts, instruction))

    def _rows(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        instruction: str | None,
        limits: Limits = NO_LIMITS,
        cache_salt: int = 0,
    ) -> list[Row]:
        refuse_non_instruction(instruction)
        query_prefixes, tails = self._template.pieces(instruction, queries, documents)
        return self.tokens.encode(query_prefixes, tails, limits, cache_salt)

    def _score_texts(
        self, query: str, texts: Sequence[str], instruction: str | None, on_progress: OnProgress | None
    ) -> DocumentScores:
        with surrogates_found(lambda: _named(query, texts, instruction)):
            rows, logits_N, executed = self._run([query] * len(texts), texts, instruction, on_progress)
        return score.document_scores(logits_N, rows, Usage.of(rows, executed.computed_tokens, executed.cached_tokens))

    def _score_lists(
        self,
        queries: Sequence[str],
        by_query: Sequence[RecordTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        first: int,
    ) -> Iterator[DocumentScores]:
        """The scores of each query's documents, from one plan. first: the index of the first query in the call."""
        counts = [len(each.texts) for each in by_query]
        asked = [query for query, count in zip(queries, counts, strict=True) for _ in range(count)]
        texts = [text for each in by_query for text in each.texts]

        def named() -> Iterator[tuple[str, str]]:
            yield "instruction", instruction or ""
            for index, (query, each) in enumerate(zip(queries, by_query, strict=True), first):
                yield from [(f"queries[{index}]", query), *numbered(each.name, each.texts)]

        with surrogates_found(named):
            rows, logits_N, executed = self._run(asked, texts, instruction, on_progress)
        ends = [*accumulate(counts, initial=0)]
        parts = [rows[start:end] for start, end in pairwise(ends)]
        usages = Usage.shares(parts, executed.computed_tokens, executed.cached_tokens)
        for start, part, usage in zip(ends, parts, usages, strict=False):
            yield score.document_scores(logits_N[start : start + len(part)], part, usage)

    def _run(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
    ) -> tuple[list[Row], NDArray[np.float32], Executed]:
        """The rows of pairs, the logit of each, (num_rows,), and what was computed."""

        def rows_of(some: slice) -> list[Row]:
            return self._rows(queries[some], documents[some], instruction)

        rows, executed = self.runner.run(documents, rows_of, on_progress)
        return rows, self.runner.read_out(self.head, executed), executed


def _named(query: str, documents: Sequence[str], instruction: str | None) -> list[tuple[str, str]]:
    """The texts of a call with one query, by the names of its arguments."""
    return [("query", query), ("instruction", instruction or ""), *numbered("documents", documents)]


def _queries_of_a_plan(by_query: Sequence[RecordTexts]) -> Iterator[slice]:
    """Ranges of queries with few enough pairs for one plan, each of at least one query."""
    start = pairs = 0
    for index, each in enumerate(by_query):
        if index > start and pairs + len(each.texts) > _MOST_PAIRS:
            yield slice(start, index)
            start, pairs = index, 0
        pairs += len(each.texts)
    if by_query:
        yield slice(start, len(by_query))


def _unzipped(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    if isinstance(pairs, str | Mapping | Set) or not isinstance(pairs, Iterable):
        raise InputError(f"pairs must be a list of (query, document), got {type(pairs).__name__}")
    queries, documents = [], []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(f"pairs[{index}] must be a query and a document, both strings, got {pair!r:.80}")
        refuse_non_query(f"the query of pairs[{index}]", pair[0])
        queries.append(pair[0])
        documents.append(pair[1])
    return queries, documents
