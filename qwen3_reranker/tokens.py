"""Text pieces -> token rows: user text is never control tokens, and one rule says what is cut."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from qwen3_reranker.errors import CheckpointError, InputError, QueryTooLongError
from qwen3_reranker.records import Head, Receipt, Row

Ids = NDArray[np.int32]

_CONTROL = re.compile(r"(<\|[a-z_]+\|>|</?think>)")


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
        tokenizer_file: Path,
        *,
        prefix: str,
        suffix: str,
        max_length: int,
        special_tokens: str = "literal",
        truncate_queries: bool = False,
    ) -> None:
        fields = _read(tokenizer_file)
        self.control_ids = _control_ids(fields, tokenizer_file)
        self._literal = _load({**fields, "added_tokens": [], "post_processor": None}, tokenizer_file)
        self._refuse_leaks(tokenizer_file)
        user_text = {**fields, "post_processor": None} if special_tokens == "parse" else None
        self._user = self._literal if user_text is None else _load(user_text, tokenizer_file)
        self.prefix_ids = self._constant(prefix, tokenizer_file)
        self.suffix_ids = self._constant(suffix, tokenizer_file)
        self.yes_id = self._word("yes", tokenizer_file)
        self.no_id = self._word("no", tokenizer_file)
        self.max_length = max_length
        self._truncate_queries = truncate_queries
        if self._body_budget < 1:
            raise InputError(
                f"max_length={max_length} leaves no room: the template alone takes "
                f"{len(self.prefix_ids) + len(self.suffix_ids)} tokens"
            )

    @property
    def num_entries(self) -> int:
        """One more than the largest id this tokenizer can give."""
        return max(self._literal.get_vocab_size(), *(token_id + 1 for token_id in self.control_ids.values()))

    @property
    def _body_budget(self) -> int:
        return self.max_length - len(self.prefix_ids) - len(self.suffix_ids)

    def encode(self, heads: Sequence[Head], tails: Sequence[str]) -> list[Row]:
        """One row for each pair of a head and a tail; equal heads and equal tails are encoded once.

        Raises QueryTooLongError where a head alone does not fit, InputError for text that is no valid Unicode.
        """
        distinct_heads, distinct_tails = list(dict.fromkeys(heads)), list(dict.fromkeys(tails))
        encoded_heads = dict(zip(distinct_heads, self._encode_heads(distinct_heads), strict=True))
        encoded_tails = dict(zip(distinct_tails, self._encode_user(distinct_tails), strict=True))
        return [self._row(encoded_heads[head], encoded_tails[tail]) for head, tail in zip(heads, tails, strict=True)]

    def _row(self, head: _EncodedHead, tail: Ids) -> Row:
        kept = tail[: self._body_budget - len(head.ids)]
        start = len(self.prefix_ids)
        boundaries = (start, start + head.opening_tokens, start + len(head.ids))
        receipt = Receipt(len(tail), len(kept), head.query_tokens, head.kept_query_tokens)
        return Row(np.concatenate((self.prefix_ids, head.ids, kept, self.suffix_ids)), boundaries, receipt)

    def _encode_heads(self, heads: Sequence[Head]) -> list[_EncodedHead]:
        texts = [text for head in heads for text in (head.text, head.opening, head.query, head.closing)]
        ids = self._encode_user(texts)
        return [self._fitted(*ids[first : first + 4]) for first in range(0, len(ids), 4)]

    def _fitted(self, whole: Ids, opening: Ids, query: Ids, closing: Ids) -> _EncodedHead:
        """The whole head if it fits, else one whose query is cut; the parts meet where the tokenizer never joins."""
        if len(whole) <= self._body_budget:
            return _EncodedHead(whole, len(opening), len(query), len(query))
        room = self._body_budget - len(opening) - len(closing)
        if room < 1:
            raise QueryTooLongError(
                f"the instruction alone takes {len(opening)} of the {self._body_budget} tokens that max_length="
                f"{self.max_length} leaves; shorten it or raise max_length"
            )
        if not self._truncate_queries:
            raise QueryTooLongError(
                f"instruction and query take {len(whole)} tokens, but max_length={self.max_length} leaves "
                f"{self._body_budget}; shorten the query, raise max_length, or ask for truncate_queries"
            )
        # Half of the room is left to the document: a row without any of it could not be judged.
        kept = query[: max(1, room // 2)]
        return _EncodedHead(np.concatenate((opening, kept, closing)), len(opening), len(query), len(kept))

    def _encode_user(self, texts: Sequence[str]) -> list[Ids]:
        try:
            encodings = self._user.encode_batch_fast(list(texts), add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:
            raise InputError(f"a text is not valid Unicode: {error}") from error
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def _constant(self, text: str, source: Path) -> Ids:
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

    def _word(self, word: str, source: Path) -> int:
        ids = self._literal.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise CheckpointError(f"{source}: {word!r} must be one token, got {len(ids)}; this is no Qwen3 tokenizer")
        return int(ids[0])

    def _refuse_leaks(self, source: Path) -> None:
        known = set(self.control_ids.values())
        for text in self.control_ids:
            if not known.isdisjoint(self._literal.encode(text, add_special_tokens=False).ids):
                raise CheckpointError(
                    f"{source}: {text!r} in a text would become a control token; refusing this tokenizer"
                )


def _read(tokenizer_file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(tokenizer_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{tokenizer_file}: cannot be read as JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{tokenizer_file}: expected a JSON object")
    return fields


def _control_ids(fields: dict[str, Any], source: Path) -> dict[str, int]:
    try:
        return {str(token["content"]): int(token["id"]) for token in fields.get("added_tokens") or []}
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{source}: added_tokens must list objects with content and id: {error!r}") from error


def _load(fields: dict[str, Any], source: Path) -> Tokenizer:
    try:
        # A checkpoint's own truncation or padding would cut or fill rows behind our back.
        return Tokenizer.from_str(json.dumps({**fields, "truncation": None, "padding": None}))
    except Exception as error:  # the library raises bare Exception for a bad file
        raise CheckpointError(f"{source}: not a tokenizer the tokenizers library can load: {error}") from error
