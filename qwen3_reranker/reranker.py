"""Reranker: the whole flow, from a query and documents to a ranking.

rows = prompt and tokens of each pair      tokens.py
plan = every distinct prefix once          plan/
states = the network at each row's end     logit_engine.py, runner.py, backends/
logits = yes - no of each state            heads.py
ranking = probability and order            text_reranker.py, score.py
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterable, Sequence
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
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.backends.opening import open_backend
from qwen3_reranker.engine_options import EngineOptions, RerankerOptions, shows_options
from qwen3_reranker.heads import YesNoHead, applied_head
from qwen3_reranker.logit_engine import LocalEngine, LogitEngine
from qwen3_reranker.opened_model import OpenedModel
from qwen3_reranker.plan import Plan
from qwen3_reranker.record_texts import Key, record_texts
from qwen3_reranker.records import NO_LIMITS, DocumentScores, Limits, Row, Screen, Usage
from qwen3_reranker.registry import SPECS
from qwen3_reranker.screen_engines import ScreenEngines
from qwen3_reranker.screening import ScoresOf, screened_lists
from qwen3_reranker.text_reranker import QueryTexts, Result, TextReranker, named_texts
from qwen3_reranker.tokens import Tokens, refuse_framed_texts
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.hub_name import is_server

_LOG = logging.getLogger(__name__)


class Reranker(OpenedModel, TextReranker):
    """A Qwen3-Reranker model, ready to judge documents.

    model: "nano" (bundled), a Hub id such as "Qwen/Qwen3-Reranker-0.6B" or "owner/name:Q8_0", a folder or a GGUF
        file. The URL of a rerank server gives a RemoteReranker, which has options of its own. revision: a Hub branch,
        tag or commit. plan_only: load no weights; `tree` works, scoring does not. The other options stand below.
    Raises ModelNotFoundError, CheckpointError for files that cannot be run, InputError for an unusable option.
    Calls from several threads are safe; they run one after the other.
    """

    @shows_options(RerankerOptions)
    def __new__(
        cls,
        model: str | os.PathLike[str] = "nano",
        *,
        revision: str | None = None,
        plan_only: bool = False,
        **options: Any,
    ) -> Any:
        # A model at a URL is used as one of this machine is.
        if cls is Reranker and isinstance(model, str) and is_server(model):
            from qwen3_reranker.remote.remote_reranker import RemoteReranker

            return RemoteReranker(model, revision=revision, plan_only=plan_only, **options)
        return super().__new__(cls)

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
        #: What computes: rows of token ids to logits.
        self.engine: LogitEngine = LocalEngine(
            self.runner, applied_head if SPECS[chosen.backend].applies_head else self.head
        )
        self._screens = ScreenEngines(checkpoint, self.options, self.runner, self.head, self.tokens.prefix_ids)
        self._call_thread = CallThread()

    @property
    def default_instruction(self) -> str | None:
        """The instruction of a call that gives none: the checkpoint's, or else the prompt's. None if it reads none."""
        return self._template.default_instruction

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
        return (yield from self.engine.steps(rows)).logits_N

    def count_tokens(self, text: str) -> int:
        """The tokens of a text alone, without a prompt. Raises NotUnicodeError for text that is none."""
        return len(self.tokens.spans(text))

    def tree(self, query: str, documents: Iterable[Any], instruction: str | None = None, *, key: Key = "text") -> Plan:
        """What `rank` would compute with nothing cached; printing it shows the tree and its saving."""
        refuse_non_query("query", query)
        texts = record_texts("documents", documents, key).texts
        with surrogates_found(lambda: named_texts(query, texts, instruction)):
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

    def close(self) -> None:
        """Give the memory back, once a call under way has ended. It cannot be used afterwards."""
        self._screens.close()

    def _refuse_screen(self, precision: str) -> None:
        self.options.refuse_screen(precision)

    def _score_lists(
        self,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
        screen: Screen | None = None,
    ) -> list[DocumentScores]:
        """The scores of each query's documents: from one plan, or query by query where documents are screened."""
        if screen is None:
            return self._scores_by(self.engine, lists, instruction, on_progress)
        fast = self._screens.engine(screen.precision)

        def scores_of(engine: LogitEngine) -> ScoresOf:
            return lambda query, texts, advance: self._scores_by(engine, [(query, texts)], instruction, advance)[0]

        return screened_lists(lists, screen, scores_of(fast), scores_of(self.engine), on_progress)

    def _scores_by(
        self,
        engine: LogitEngine,
        lists: Sequence[QueryTexts],
        instruction: str | None,
        on_progress: OnProgress | None,
    ) -> list[DocumentScores]:
        counts = [len(texts) for _, texts in lists]
        queries = [query for query, texts in lists for _ in texts]
        documents = [text for _, texts in lists for text in texts]

        def rows_of(some: slice) -> list[Row]:
            return self._rows(queries[some], documents[some], instruction)

        rows, scores = engine.score(documents, rows_of, on_progress)
        ends = [*accumulate(counts, initial=0)]
        parts = [rows[start:end] for start, end in pairwise(ends)]
        usages = Usage.shares(parts, scores.computed_tokens, scores.cached_tokens)
        return [
            score.document_scores(scores.logits_N[start:end], part, usage)
            for (start, end), part, usage in zip(pairwise(ends), parts, usages, strict=True)
        ]

    async def _awaited(
        self,
        asked: QueryTexts,
        instruction: str | None,
        on_progress: OnProgress | None,
        finish: Callable[[DocumentScores], Result],
        screen: Screen | None = None,
    ) -> Result:
        """A call in a thread; calls of this model run in their order, and a cancelled one ends with a batch."""

        def call() -> Result:
            [scores] = self._score_lists([asked], instruction, on_progress, screen)
            return finish(scores)

        return await self._call_thread.run(call)
