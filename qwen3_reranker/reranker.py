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
from typing import Unpack

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
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.backends.opening import open_backend
from qwen3_reranker.engine_options import EngineOptions, RerankerOptions, shows_options
from qwen3_reranker.errors import InputError
from qwen3_reranker.heads import YesNoHead
from qwen3_reranker.opened_model import OpenedModel
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import NO_LIMITS, DocumentScores, Limits, Ranking, Row, Usage
from qwen3_reranker.registry import SPECS
from qwen3_reranker.tokens import Tokens, refuse_framed_texts
from qwen3_reranker.weights import open_checkpoint

_LOG = logging.getLogger(__name__)


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

    @property
    def default_instruction(self) -> str | None:
        """The instruction of a call that gives none: the checkpoint's, or else the prompt's. None if it reads none."""
        return self._template.default_instruction

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> Ranking:
        """The documents by how strongly the model says that they answer the query, best first.

        top_k: how many to return, None for all. instruction: what counts as an answer, in English for best results;
        None takes `default_instruction`. on_progress is called with the share done, up to 1.
        Documents with equal logits keep their input order. Raises InputError, QueryTooLongError, and CheckpointError
        for weights that give no finite logit.
        """
        top_k = score.checked_top_k(top_k)
        return score.rank(self.score(query, documents, instruction, on_progress=on_progress), documents, top_k)

    def score(
        self,
        query: str,
        documents: Sequence[str],
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> DocumentScores:
        """Logit and probability of each document, in input order, with receipts and usage.

        instruction, on_progress and errors are those of `rank`.
        """
        refuse_non_query("query", query)
        refuse_non_strings("documents", documents)
        with surrogates_found(lambda: _named(query, documents, instruction)):
            return self._score([query] * len(documents), documents, instruction, on_progress)

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
            return self._score(queries, documents, instruction, on_progress).logits

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

    def tree(self, query: str, documents: Sequence[str], instruction: str | None = None) -> Plan:
        """What `rank` would compute with nothing cached; printing it shows the tree and its saving."""
        refuse_non_query("query", query)
        refuse_non_strings("documents", documents)
        with surrogates_found(lambda: _named(query, documents, instruction)):
            return self.runner.plan(self._rows([query] * len(documents), documents, instruction))

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

    def _score(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
    ) -> DocumentScores:
        def rows_of(some: slice) -> list[Row]:
            return self._rows(queries[some], documents[some], instruction)

        rows, executed = self.runner.run(documents, rows_of, on_progress)
        logits_N = self.runner.read_out(self.head, executed)
        return DocumentScores(
            logits_N,
            score.probabilities(logits_N),
            tuple(row.receipt for row in rows),
            Usage.of(rows, executed.computed_tokens, executed.cached_tokens),
        )


def _named(query: str, documents: Sequence[str], instruction: str | None) -> list[tuple[str, str]]:
    """The texts of a call with one query, by the names of its arguments."""
    return [("query", query), ("instruction", instruction or ""), *numbered("documents", documents)]


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
