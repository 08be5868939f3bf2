"""Text pieces -> token rows: user text is never control tokens, and one rule says what is cut."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from qwen3_reranker import fast_tokenizer
from qwen3_reranker.errors import CheckpointError, InputError, NotUnicodeError, QueryTooLongError, TooLongError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.records import NO_LIMITS, Head, Limits, Receipt, Row

Ids = NDArray[np.int32]

_CHARACTERS_AT_ONCE = 1_000_000
# No vocabulary comes near; ids beyond it are damage, and would make the embedding's check meaningless.
_MOST_ENTRIES = 2**31

_CONTROL = re.compile(r"(<\|[a-z_]+\|>|</?think>)")


@dataclass(frozen=True, slots=True)
class TokenizerJson:
    """The fields of a tokenizer.json, wherever they come from; `source` names the place in errors."""

    fields: dict[str, Any]
    source: str

    @classmethod
    def read(cls, path: Path) -> TokenizerJson:
        """The file at `path`; raises CheckpointError if it cannot be read or is no JSON object."""
        return cls(read_object(path), str(path))


@dataclass(frozen=True, slots=True)
class _EncodedHead:
    ids: Ids
    opening_tokens: int
    query_tokens: int
    kept_query_tokens: int


class Tokens:
    """Encodes heads and tails into rows of one template.

    prefix, suffix: the template's constant ends; control tokens they name are looked up, never parsed from user text.
    max_length: tokens of a whole row. A document's tail is cut to fit; prefix, labels, query and suffix stay.
    special_tokens: "literal", or "parse" to let user text become control tokens as the reference code does.
    Raises CheckpointError for a tokenizer that cannot be read or lacks the template's control tokens.
    """

    def __init__(
        self,
        tokenizer: TokenizerJson,
        *,
        prefix: str,
        suffix: str,
        max_length: int,
        special_tokens: str = "literal",
        truncate_queries: bool = False,
    ) -> None:
        fields, source = tokenizer.fields, tokenizer.source
        self.control_ids = _control_ids(fields, source)
        literal = _written({**fields, "added_tokens": []}, source)
        self._literal = _load(literal, source)
        self._user = _load(_written(fields, source), source) if special_tokens == "parse" else self._literal
        self._fast = None if special_tokens == "parse" else fast_tokenizer.proven(literal, fields, self._encode_exactly)
        base_ids = set(self._literal.get_vocab().values())
        if leaks := sorted(base_ids.intersection(self.control_ids.values())):
            raise CheckpointError(
                f"{source}: the ids {leaks[:5]} belong to control tokens and to words of the vocabulary, so "
                "text could become control tokens; this is no Qwen3 tokenizer"
            )
        #: One more than the largest id of a word, control tokens left out.
        self.num_words = max(base_ids) + 1
        #: One more than the largest id this tokenizer can give.
        self.num_entries = max(base_ids.union(self.control_ids.values())) + 1
        self.prefix_ids = self._constant(prefix, source)
        self.suffix_ids = self._constant(suffix, source)
        self.yes_id = self._word("yes", source)
        self.no_id = self._word("no", source)
        self.max_length = max_length
        self._truncate_queries = truncate_queries
        if self._body_budget < 1:
            raise InputError(
                f"max_length={max_length} leaves no room: the template alone takes "
                f"{len(self.prefix_ids) + len(self.suffix_ids)} tokens, and instruction, query and document come on top"
            )

    @property
    def _body_budget(self) -> int:
        return self.max_length - len(self.prefix_ids) - len(self.suffix_ids)

    def encode(
        self, heads: Sequence[Head], tails: Sequence[str], limits: Limits = NO_LIMITS, owner: int = 0
    ) -> list[Row]:
        """One row for each pair of a head and a tail; equal heads and equal tails are encoded once.

        limits: what the caller wants cut beyond what must be. owner: whose the rows are, for the plan.
        Raises QueryTooLongError where a head alone does not fit, NotUnicodeError for text that is none, TooLongError
        for a row that does not fit where the limits forbid cutting.
        """
        budget = self._body_budget
        if limits.row_tokens is not None:
            budget = min(budget, limits.row_tokens - len(self.prefix_ids) - len(self.suffix_ids))
        distinct_heads, distinct_tails = list(dict.fromkeys(heads)), list(dict.fromkeys(tails))
        encoded_heads = dict(zip(distinct_heads, self._encode_heads(distinct_heads, budget, limits), strict=True))
        encoded_tails = dict(zip(distinct_tails, self._encode_user(distinct_tails), strict=True))
        rows = [
            self._row(encoded_heads[head], encoded_tails[tail], budget, limits, owner)
            for head, tail in zip(heads, tails, strict=True)
        ]
        if not limits.truncate:
            self._refuse_cut(rows, budget)
        return rows

    def _refuse_cut(self, rows: Sequence[Row], budget: int) -> None:
        for index, row in enumerate(rows):
            if row.receipt.truncated or row.receipt.query_truncated:
                raise TooLongError(
                    f"pair {index} is longer than the {budget} tokens that fit beside the template, and was not to be "
                    "cut; shorten its document or allow cutting",
                    index,
                )

    def _row(self, head: _EncodedHead, tail: Ids, budget: int, limits: Limits, owner: int) -> Row:
        room = budget - len(head.ids)
        if limits.document_tokens is not None:
            room = min(room, limits.document_tokens)
        kept = tail[:room] if limits.keep == "start" or len(tail) <= room else tail[len(tail) - room :]
        start = len(self.prefix_ids)
        boundaries = (start, start + head.opening_tokens, start + len(head.ids))
        receipt = Receipt(len(tail), len(kept), head.query_tokens, head.kept_query_tokens)
        return Row(np.concatenate((self.prefix_ids, head.ids, kept, self.suffix_ids)), boundaries, receipt, owner)

    def _encode_heads(self, heads: Sequence[Head], budget: int, limits: Limits) -> list[_EncodedHead]:
        parts = [(head.text, head.opening, head.query, head.closing) for head in heads]
        # Queries share their instruction: what is equal is encoded once.
        distinct = list(dict.fromkeys(chain.from_iterable(parts)))
        ids = dict(zip(distinct, self._encode_user(distinct), strict=True))
        most = limits.query_tokens
        return [self._fitted(*(ids[text] for text in texts), budget=budget, most=most) for texts in parts]

    def _fitted(
        self, whole: Ids, opening: Ids, query: Ids, closing: Ids, *, budget: int, most: int | None
    ) -> _EncodedHead:
        """The whole head if it fits, else one whose query is cut; the parts meet where the tokenizer never joins."""
        if most is None or len(query) <= most:
            if len(whole) < budget:
                return _EncodedHead(whole, len(opening), len(query), len(query))
        elif len(opening) + most + len(closing) < budget:
            return _EncodedHead(np.concatenate((opening, query[:most], closing)), len(opening), len(query), most)
        room = budget - len(opening) - len(closing)
        if room < 2:
            template = len(self.prefix_ids) + len(self.suffix_ids)
            taken = budget + template - room
            raise QueryTooLongError(
                f"rows of {budget + template} tokens are too short: template and instruction alone take {taken}; "
                f"shorten the instruction, or let rows have at least {taken + 2} tokens (max_length)"
            )
        if not self._truncate_queries:
            raise QueryTooLongError(
                f"instruction and query take {len(whole)} of the {budget} tokens that max_length="
                f"{self.max_length} leaves, so no document fits; shorten the query, raise max_length, or ask for "
                "truncate_queries"
            )
        # Half of the room is left to the document: a row without any of it could not be judged.
        kept = query[: room // 2]
        return _EncodedHead(np.concatenate((opening, kept, closing)), len(opening), len(query), len(kept))

    def _encode_user(self, texts: Sequence[str]) -> list[Ids]:
        if self._fast is None:
            return self._encode_exactly(texts)
        found = [self._fast.ids(text) for text in texts]
        rest = iter(self._encode_exactly([text for text, ids in zip(texts, found, strict=True) if ids is None]))
        return [next(rest) if ids is None else ids for ids in found]

    def _encode_exactly(self, texts: Sequence[str]) -> list[Ids]:
        ids: list[Ids] = []
        for some in _by_size(texts):
            try:
                encodings = self._user.encode_batch_fast(some, add_special_tokens=False)
            except TypeError:
                raise NotUnicodeError(_no_unicode(some)) from None
            except BaseException as error:
                # A panic of the library derives from BaseException; a hostile pattern can bring one about.
                if type(error).__name__ != "PanicException":
                    raise
                raise CheckpointError(f"the tokenizer failed on a text: {shown(str(error))}") from None
            ids.extend(np.array(encoding.ids, dtype=np.int32) for encoding in encodings)
        return ids

    def _constant(self, text: str, source: str) -> Ids:
        ids: list[int] = []
        for piece in filter(None, _CONTROL.split(text)):
            if _CONTROL.fullmatch(piece):
                if piece not in self.control_ids:
                    raise CheckpointError(
                        f"{source}: the template's control token {piece!r} is missing in added_tokens"
                    )
                ids.append(self.control_ids[piece])
            else:
                ids.extend(self._literal.encode(piece, add_special_tokens=False).ids)
        return np.array(ids, dtype=np.int32)

    def _word(self, word: str, source: str) -> int:
        ids = self._literal.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise CheckpointError(f"{source}: {word!r} must be one token, got {len(ids)}; this is no Qwen3 tokenizer")
        return int(ids[0])


def _by_size(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, in lists of about a million characters: an encoding takes many times its ids' memory."""
    some: list[str] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size > _CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _no_unicode(texts: Sequence[str]) -> str:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"a text is not valid Unicode: a lone surrogate at character {error.start} of {text!r:.60}"
    raise AssertionError("the tokenizer refused text that is Unicode")


def _control_ids(fields: dict[str, Any], source: str) -> dict[str, int]:
    listed = fields.get("added_tokens")
    ids: dict[str, int] = {}
    for token in listed if isinstance(listed, list) else []:
        content, token_id = (token.get("content"), token.get("id")) if isinstance(token, dict) else (None, None)
        if not isinstance(content, str) or not isinstance(token_id, int) or not 0 <= token_id < _MOST_ENTRIES:
            raise CheckpointError(f"{source}: added_tokens must list objects with content and id, got {shown(token)}")
        ids[content] = token_id
    return ids


def _written(fields: dict[str, Any], source: str) -> str:
    model = fields.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise CheckpointError(f"{source}: expected a byte-level BPE model; this is no Qwen3 tokenizer")
    # A checkpoint's own truncation, padding or frame would cut, fill or wrap rows behind our back.
    return json.dumps({**fields, "truncation": None, "padding": None, "post_processor": None})


def _load(written: str, source: str) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(written)
        # The first use of a damaged part may be what fails.
        tokenizer.encode_batch_fast([" a\u0301<|1 \n", "yes"], add_special_tokens=False)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        # The library raises bare Exception for a bad file, and its panics do not even derive from that.
        raise CheckpointError(f"{source}: not a tokenizer that can be used: {shown(str(error))}") from None
    return tokenizer
