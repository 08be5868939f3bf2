"""Reranker: the whole flow, from texts to a ranking."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import plan, prompt, score
from qwen3_reranker.backends.base import Backend, Executed, OnProgress
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.config import EngineOptions, ModelConfig
from qwen3_reranker.errors import CheckpointError, InputError, UnavailableError
from qwen3_reranker.heads import YesNoHead
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Ranking, Receipt, Row, Usage
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.weights import Checkpoint, open_checkpoint


@dataclass(frozen=True, eq=False, slots=True)
class _Scored:
    logits_N: NDArray[np.float32]
    receipts: list[Receipt]
    usage: Usage


class Reranker:
    """A Qwen3-Reranker model, ready to judge documents.

    model: "nano" (bundled), a Hub id such as "Qwen/Qwen3-Reranker-0.6B" or "owner/name:file.gguf", a folder or a .gguf
        file. revision: a Hub branch, tag or commit. plan_only: load no weights; `tree` works, scoring
        does not. The other options are the fields of config.EngineOptions.
    Raises ModelNotFoundError, CheckpointError for files that cannot be run, InputError for an unusable option.
    Calls from several threads are safe; they run one after the other.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "nano",
        *,
        revision: str | None = None,
        plan_only: bool = False,
        **options: Any,
    ) -> None:
        self.options = _engine_options(options)
        self.checkpoint = open_checkpoint(model, revision)
        self._template = prompt.template(self.options.prompt, self.checkpoint.instruction)
        self.tokens = Tokens(
            self.checkpoint.tokenizer,
            prefix=self._template.prefix,
            suffix=self._template.suffix,
            max_length=self.config.row_length(self.options.max_length),
            special_tokens=self.options.special_tokens,
            truncate_queries=self.options.truncate_queries,
        )
        _refuse_larger_tokenizer(self.tokens.num_entries, self.checkpoint)
        head = self.checkpoint.head
        self.head = YesNoHead(
            head.rows(self.tokens.yes_id, self.tokens.no_id), f"{head.tensor.file}: {head.tensor.name}"
        )
        self.backend: Backend | None = None if plan_only else _backend(self.checkpoint, self.options, self.tokens)
        self._turn = threading.Lock()
        self._running_in: int | None = None

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""
        return self.checkpoint.config

    @property
    def default_instruction(self) -> str:
        """The instruction of a call that gives none: the one that the checkpoint stores, or else the template's."""
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
        None takes `default_instruction`. on_progress is told the share done, up to 1.
        Documents with equal logits keep their input order. Raises InputError, QueryTooLongError, and CheckpointError
        for weights that give no finite logit.
        """
        top_k = score.checked_top_k(top_k)
        _refuse_non_strings(query, documents)
        scored = self._score([query] * len(documents), documents, instruction, on_progress)
        return Ranking(score.rank(scored.logits_N, documents, scored.receipts, top_k), scored.usage)

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
        return self._score(queries, documents, instruction, on_progress).logits_N

    def probabilities(
        self,
        pairs: Iterable[tuple[str, str]],
        instruction: str | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Probability of yes of each (query, document), (num_pairs,) float32, in input order; else like `logits`."""
        return score.probabilities(self.logits(pairs, instruction, on_progress=on_progress))

    def tree(self, query: str, documents: Sequence[str], instruction: str | None = None) -> Plan:
        """What `rank` would compute with nothing cached; printing it shows the tree and its saving."""
        _refuse_non_strings(query, documents)
        return self._grow(self._rows([query] * len(documents), documents, instruction))

    def close(self) -> None:
        """Give the memory back, once a call under way has ended; the reranker cannot be used afterwards."""
        if self._running_in == threading.get_ident():
            raise InputError("a Reranker cannot be closed from inside its own on_progress")
        with self._turn:
            if self.backend is not None:
                self.backend.close()
            self.backend = None

    def __enter__(self) -> Reranker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _score(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        instruction: str | None,
        on_progress: OnProgress | None,
    ) -> _Scored:
        rows = self._rows(queries, documents, instruction)
        tree = self._grow(rows)
        run = self._run(tree, on_progress)
        receipts = [row.receipt for row in rows]
        usage = Usage(
            prompt_tokens=tree.num_row_tokens,
            computed_tokens=run.computed_tokens,
            cached_tokens=run.cached_tokens,
            truncated_documents=sum(receipt.truncated for receipt in receipts),
        )
        return _Scored(self.head(run.hidden_ND), receipts, usage)

    def _rows(self, queries: Sequence[str], documents: Sequence[str], instruction: str | None) -> list[Row]:
        _refuse_non_instruction(instruction)
        heads, tails = self._template.pieces(instruction, queries, documents)
        return self.tokens.encode(heads, tails)

    def _grow(self, rows: Sequence[Row]) -> Plan:
        return plan.build(rows, self.options.min_shared_tokens)

    def _run(self, tree: Plan, on_progress: OnProgress | None) -> Executed:
        if self._running_in == threading.get_ident():
            raise InputError("a Reranker cannot be used from inside its own on_progress")
        with self._turn:
            if self.backend is None:
                raise InputError("this Reranker is closed or was made with plan_only; make a new one")
            self._running_in = threading.get_ident()
            try:
                return self.backend.run(tree, on_progress)
            finally:
                self._running_in = None


def _engine_options(options: dict[str, Any]) -> EngineOptions:
    try:
        return EngineOptions(**options)
    except TypeError as error:
        known = ", ".join(EngineOptions.__dataclass_fields__)
        raise InputError(f"{error}; options are {known}") from error


def _backend(checkpoint: Checkpoint, options: EngineOptions, tokens: Tokens) -> Backend:
    if options.backend == "reference":
        return ReferenceBackend(checkpoint, np.dtype(options.precision))
    if options.backend == "torch":
        return _torch_backend(checkpoint, options)
    return CpuBackend(
        checkpoint,
        max_batch_tokens=options.batch_tokens,
        prefix_cache_tokens=options.prefix_cache_tokens,
        num_threads=options.num_threads,
        precision=options.precision,
        kernels=options.kernels,
        constant_prefix=np.array(tokens.prefix_ids, dtype=np.int32),
        disk_cache=options.disk_cache,
    )


def _torch_backend(checkpoint: Checkpoint, options: EngineOptions) -> Backend:
    # torch takes seconds to import and is no part of the core installation.
    try:
        from qwen3_reranker.backends.torch import open_backend
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UnavailableError(
            'backend="torch" needs torch, which is not installed: pip install "qwen3_reranker[torch]"'
        ) from None
    return open_backend(checkpoint, options)


def _refuse_larger_tokenizer(num_entries: int, checkpoint: Checkpoint) -> None:
    if num_entries > checkpoint.config.vocab_size:
        raise CheckpointError(
            f"{checkpoint.tokenizer.source}: has {num_entries} entries, but the network embeds only "
            f"{checkpoint.config.vocab_size} (vocab_size in config.json); this is another model's tokenizer"
        )


def _refuse_non_instruction(instruction: object) -> None:
    if instruction is not None and not isinstance(instruction, str):
        raise InputError(f"instruction must be a string or None, got {type(instruction).__name__}")


def _refuse_non_strings(query: object, documents: object) -> None:
    if not isinstance(query, str):
        raise InputError(f"query must be a string, got {type(query).__name__}")
    if isinstance(documents, str) or not isinstance(documents, Sequence):
        raise InputError(f"documents must be a list of strings, got {type(documents).__name__}")
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise InputError(f"documents[{index}] must be a string, got {type(document).__name__}")


def _unzipped(pairs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    if isinstance(pairs, str | Mapping | Set) or not isinstance(pairs, Iterable):
        raise InputError(f"pairs must be a list of (query, document), got {type(pairs).__name__}")
    queries, documents = [], []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(f"pairs[{index}] must be a query and a document, both strings, got {pair!r:.80}")
        queries.append(pair[0])
        documents.append(pair[1])
    return queries, documents
