"""Embedder: the whole flow of a Qwen3-Embedding model, from texts to vectors."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import prompt
from qwen3_reranker.arguments import numbered, refuse_non_instruction, refuse_non_strings, surrogates_found
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.backends.opening import open_backend
from qwen3_reranker.engine_options import EmbedderOptions, EngineOptions, shows_options
from qwen3_reranker.errors import CheckpointError, InputError, unknown
from qwen3_reranker.heads import EmbeddingHead
from qwen3_reranker.opened_model import OpenedModel
from qwen3_reranker.record_texts import Key, record_texts
from qwen3_reranker.records import NO_LIMITS, Embeddings, Limits, Row, TextReceipt, Usage
from qwen3_reranker.registry import SPECS
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.weights import Checkpoint, open_checkpoint

ROLES = ("query", "document")
# Options that only a Reranker has; here they would silently do nothing.
_JUDGES_OPTIONS = ("prompt", "truncate_queries")


class Embedder(OpenedModel):
    """A Qwen3-Embedding model, ready to embed queries and documents.

    model: a Hub id such as "Qwen/Qwen3-Embedding-0.6B" or "owner/name:Q8_0", a folder or a GGUF file.
    revision: a Hub branch, tag or commit. dim: numbers of a vector, 32 up to the model's hidden_size, which is also the
        default. The other options stand below; max_length counts the `<|endoftext|>` that
        ends every text, and the tail of a text that is longer is cut.
    Raises ModelNotFoundError, CheckpointError for files that cannot be run or are no embedding model's, InputError for
    an unusable option. Calls from several threads are safe; they run one after the other.
    """

    @shows_options(EmbedderOptions)
    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        revision: str | None = None,
        dim: int | None = None,
        **options: Unpack[EmbedderOptions],
    ) -> None:
        chosen = EngineOptions.of(options)
        refuse_judges_options(chosen)
        checkpoint = open_checkpoint(model, revision)
        refuse_judges(checkpoint)
        self.head = EmbeddingHead(checkpoint.config.hidden_size, dim)
        self.tokens = Tokens(
            checkpoint.tokenizer,
            prefix="",
            suffix=prompt.EMBEDDING_SUFFIX,
            max_length=checkpoint.config.row_length(chosen.max_length),
            special_tokens=chosen.special_tokens,
            fast=SPECS[chosen.backend].overlap_characters is not None,
        )
        # Published networks of 4B and 8B have no word vectors for the tokenizer's last control tokens, which only text
        # that is parsed can become.
        checkpoint.refuse_larger_tokenizer(max(self.tokens.num_words, int(self.tokens.suffix_ids.max()) + 1))
        backend = open_backend(checkpoint, chosen, self.tokens.prefix_ids)
        super().__init__(checkpoint, chosen, backend, {"model": model, "revision": revision, "dim": dim, **options})

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self.head.dim

    @property
    def query_prompt(self) -> str:
        """The text before a query without an instruction: what the checkpoint stores, or the card's."""
        return self.checkpoint.prompts.get("query", prompt.query_prompt(prompt.DEFAULT_INSTRUCTION))

    @property
    def document_prompt(self) -> str:
        """The text before a document: what the checkpoint stores, or nothing."""
        return self.checkpoint.prompts.get("document", "")

    def queries(
        self, texts: Iterable[Any], instruction: str | None = None, *, on_progress: OnProgress | None = None
    ) -> NDArray[np.float32]:
        """A vector of length 1 for each query, (num_texts, dim) float32, in input order.

        texts: strings in a list, generator, array or Series. instruction: what a query asks for, in English for best
        results, written as the model card does; None takes `query_prompt`. on_progress is called with the share done,
        up to 1. Raises InputError, QueryTooLongError for an instruction that alone does not fit, and CheckpointError
        for weights that give no finite vector.
        """
        return self.embed(texts, role="query", instruction=instruction, on_progress=on_progress).vectors

    def documents(
        self, texts: Iterable[Any], *, key: Key = "text", on_progress: OnProgress | None = None
    ) -> NDArray[np.float32]:
        """A vector of length 1 for each document, (num_texts, dim) float32, in input order. Else like `queries`.

        texts and key: strings or records, as `Reranker.rank` takes them.
        """
        return self.embed(texts, role="document", key=key, on_progress=on_progress).vectors

    def embed(
        self,
        texts: Iterable[Any],
        *,
        role: str,
        instruction: str | None = None,
        key: Key = "text",
        limits: Limits = NO_LIMITS,
        on_progress: OnProgress | None = None,
    ) -> Embeddings:
        """The vectors of `queries` or `documents`, as `role` says, with receipts and usage.

        limits: how much of each text to read, and which end; TooLongError where they forbid cutting.
        """
        strings = record_texts("texts", texts, key).texts

        def rows_of(some: slice) -> list[Row]:
            return self._rows(strings[some], role, instruction, limits, some.start or 0)

        with surrogates_found(lambda: [*numbered("texts", strings), ("instruction", instruction or "")]):
            rows, executed = self.runner.run(strings, rows_of, on_progress)
        return Embeddings(
            self.runner.read_out(self.head, executed),
            tuple(self._receipt(row) for row in rows),
            Usage.of(rows, executed.computed_tokens, executed.cached_tokens),
        )

    def rows(
        self,
        texts: Sequence[str],
        *,
        role: str,
        instruction: str | None = None,
        limits: Limits = NO_LIMITS,
        cache_salt: int = 0,
    ) -> list[Row]:
        """The tokens of each text, for callers who gather the rows of many requests.

        cache_salt: rows of different salts share nothing. Raises what `embed` raises for texts.
        """
        refuse_non_strings("texts", texts)
        with surrogates_found(lambda: [*numbered("texts", texts), ("instruction", instruction or "")]):
            return self._rows(texts, role, instruction, limits, cache_salt=cache_salt)

    def judge(self, rows: Sequence[Row]) -> Generator[None, None, NDArray[np.float32]]:
        """The vectors of rows from `rows`, (num_rows, dim) float32. Others may run between its steps.

        Raises CheckpointError for weights, and PrecisionError for a precision, that give no finite vector.
        """
        executed = yield from self.runner.steps(self.runner.plan(rows))
        return self.runner.read_out(self.head, executed)

    def _prompt(self, role: str, instruction: str | None) -> str:
        """The text before a text that is embedded."""
        refuse_non_instruction(instruction)
        if role not in ROLES:
            raise unknown("role", role, ROLES)
        if role == "query":
            return self.query_prompt if instruction is None else prompt.query_prompt(instruction)
        if instruction is not None:
            raise InputError("a document takes no instruction; Qwen3-Embedding has one for queries alone")
        return self.document_prompt

    def _rows(
        self,
        texts: Sequence[str],
        role: str,
        instruction: str | None,
        limits: Limits = NO_LIMITS,
        first: int = 0,
        cache_salt: int = 0,
    ) -> list[Row]:
        """`first`: the place of the first text in the call, for errors."""
        pieces = prompt.embedding_pieces(self._prompt(role, instruction), texts)
        rows = self.tokens.encode(*pieces, limits, cache_salt)
        for index, row in enumerate(rows, first):
            if (last := int(row.ids.max())) >= self.config.vocab_size:
                raise InputError(
                    f"texts[{index}] holds control token {last}, but the network has no word vector beyond "
                    f'{self.config.vocab_size - 1}; take it out or use special_tokens="literal"'
                )
        return rows

    def _receipt(self, row: Row) -> TextReceipt:
        kept = len(row.ids) - len(self.tokens.suffix_ids)
        cut = row.receipt.document_tokens - row.receipt.kept_tokens
        return TextReceipt(kept + cut, kept, row.receipt.is_lower_bound)


def refuse_judges_options(options: EngineOptions) -> None:
    """Raise InputError for options with which no Embedder is opened."""
    if SPECS[options.backend].applies_head:
        others = " or ".join(f'backend="{name}"' for name, spec in SPECS.items() if not spec.applies_head)
        raise InputError(f"the {options.backend} backend gives logits and no vectors; embed with {others}")
    for name in _JUDGES_OPTIONS:
        if getattr(options, name) != getattr(EngineOptions(), name):
            raise InputError(f"{name} is an option of a Reranker; leave it out to embed")


def refuse_judges(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a model that has a head of its own, which an Embedder would not use."""
    if checkpoint.stored_head is not None:
        raise CheckpointError(
            f"{checkpoint.name}: a {checkpoint.layout} checkpoint with a head that judges, not an embedding model; use "
            "a Qwen3-Embedding, or Reranker to rank with this one (what makes an embedding model: modules.json with "
            "last-token Pooling, tensors named without 'model.', or pooling_type 3 in GGUF)"
        )
