"""Text pieces -> token rows, without control tokens of users, cut by one rule."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from qwen3_reranker.added_tokens import AddedTokens, TokenSpans
from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.errors import CheckpointError, InputError, NotUnicodeError, QueryTooLongError, TooLongError
from qwen3_reranker.fast_tokenizer import FastTokenizer, proven
from qwen3_reranker.forking import tokenize_alone_in_children
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.partial_encoding import SLICE_CHARACTERS, PartialEncoder, PartialTokens, WordPieces, is_qwen_bpe
from qwen3_reranker.records import NO_LIMITS, Limits, QueryPrefix, Receipt, Row

Ids = NDArray[np.int32]

_CHARACTERS_AT_ONCE = 1_000_000

_CONTROL = re.compile(r"(<\|[a-z_]+\|>|</?think>)")


@dataclass(frozen=True, slots=True)
class TokenizerJson:
    """The fields of a tokenizer.json, wherever they come from; `source` names the place in errors."""

    fields: dict[str, Any]
    source: str

    @classmethod
    def read(cls, path: Path) -> TokenizerJson:
        """The file at `path`. Raises CheckpointError if it cannot be read or is no JSON object."""
        return cls(read_object(path), str(path))


def refuse_framed_texts(tokenizer: TokenizerJson) -> None:
    """Raise CheckpointError if the tokenizer sets tokens of its own around a pair of texts."""
    stored = tokenizer.fields.get("post_processor") or {}
    steps = stored.get("processors", [stored]) if isinstance(stored, dict) else [stored]
    for step in steps if isinstance(steps, list) else [steps]:
        if step and not (isinstance(step, dict) and step.get("type") == "ByteLevel"):
            raise CheckpointError(
                f"{tokenizer.source}: post_processor sets tokens around texts, {shown(step)}, which the prompt pair "
                "does not; name another prompt"
            )


@dataclass(frozen=True, slots=True)
class _EncodedPrefix:
    ids: Ids
    opening_tokens: int
    query_tokens: int
    kept_query_tokens: int
    is_lower_bound: bool


class Tokens:
    """Encodes query prefixes and tails into rows of one template.

    prefix, middle, suffix: the template's constants before a query prefix, between it and a tail, and after a tail.
    Control tokens that they name are looked up, never parsed from user text.
    max_length: tokens of a whole row. A document's tail is cut to fit; prefix, labels, query and suffix stay.
    special_tokens: "literal", or "parse" to let user text become control tokens as the reference code does. Words that
        a fine-tuning added to the tokenizer are read in either mode, in the prompt too.
    fast: encode with the faster library where it is installed and proven to give the same tokens.
    Raises CheckpointError for a tokenizer that cannot be read or lacks the template's control tokens.
    """

    def __init__(
        self,
        tokenizer: TokenizerJson,
        *,
        prefix: str,
        suffix: str,
        middle: str = "",
        max_length: int,
        special_tokens: str = "literal",
        truncate_queries: bool = False,
        fast: bool = False,
    ) -> None:
        fields, source = tokenizer.fields, tokenizer.source
        literal = _written({**fields, "added_tokens": []}, source)
        self._literal = _load(literal, source)
        vocabulary = self._literal.get_vocab()
        self._added = AddedTokens(fields, vocabulary, source)
        self.control_ids, self.added_words = self._added.control, self._added.words
        # The prompt's own text: with the words, never with what looks like a control token.
        self._prompt = _TextEncoder(self._literal, {})
        if self.added_words:
            with_words = _written({**fields, "added_tokens": self._added.word_fields}, source)
            self._prompt = _TextEncoder(_load(with_words, source), self.added_words)
        #: What encodes the callers' texts.
        self.text_encoder: _TextEncoder | FastTokenizer = self._prompt
        if special_tokens == "parse":
            self.text_encoder = self._parsing(fields, source)
        elif fast and not self.added_words:
            self.text_encoder = proven(literal, fields, self._prompt.encode) or self._prompt
        #: One more than the largest id of a word, control tokens left out.
        self.num_words = max([*vocabulary.values(), *self.added_words.values()], default=-1) + 1
        #: One more than the largest id this tokenizer can give.
        self.num_entries = max([self.num_words - 1, *self.control_ids.values()]) + 1
        longest = max(map(len, vocabulary), default=0)
        self._partial = self._partial_encoder(fields, longest, parsing=special_tokens == "parse")
        self._prefix_end, self._middle_end = (_CONTROL.split(text)[-1] for text in (prefix, middle))
        self.prefix_ids = self._constant(prefix, source)
        self.suffix_ids = self._constant(suffix, source)
        self._middle_ids = self._constant(middle, source)
        self._source = source
        if self.added_words:
            for constant in filter(None, (middle, suffix)):
                self._added.refuse_end_in(constant)
            constants = {prefix: self.prefix_ids, middle: self._middle_ids, suffix: self.suffix_ids}
            self._refuse_other_prompt(constants, fields, source)
        self.yes_id = self.word_id("yes")
        self.no_id = self.word_id("no")
        self.max_length = max_length
        self._truncate_queries = truncate_queries
        self._num_constant = len(self.prefix_ids) + len(self._middle_ids) + len(self.suffix_ids)
        if max_length <= self._num_constant:
            raise InputError(
                f"max_length={max_length} leaves no room: the template alone takes {self._num_constant} tokens, and "
                "instruction, query and document come on top"
            )

    def encode(
        self, prefixes: Sequence[QueryPrefix], tails: Sequence[str], limits: Limits = NO_LIMITS, cache_salt: int = 0
    ) -> list[Row]:
        """One row for each pair of a query prefix and a tail. Equal texts are encoded once.

        limits: what the caller wants cut beyond what must be. cache_salt: rows of different salts share only the
        template. Raises QueryTooLongError where a query prefix alone does not fit, NotUnicodeError for text that is
        none, TooLongError for a row that does not fit where the limits forbid cutting.
        """
        row_tokens = self.max_length if limits.row_tokens is None else min(self.max_length, limits.row_tokens)
        budget = row_tokens - self._num_constant
        distinct_prefixes, distinct_tails = list(dict.fromkeys(prefixes)), list(dict.fromkeys(tails))
        prefix_of = dict(zip(distinct_prefixes, self._encode_prefixes(distinct_prefixes, budget, limits), strict=True))
        most = budget if limits.document_tokens is None else min(budget, limits.document_tokens)
        tail_of = dict(zip(distinct_tails, self._read(distinct_tails, most, limits.keep), strict=True))
        # Without a prompt the two texts of a pair are encoded apart by every library.
        if self.added_words and self._num_constant:
            self._refuse_spans(prefixes, tails)
        rows = [
            self._row(prefix_of[prefix], tail_of[tail], budget, limits, cache_salt)
            for prefix, tail in zip(prefixes, tails, strict=True)
        ]
        if not limits.truncate:
            self._refuse_cut(rows, budget)
        return rows

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Id, start and stop of each token of a caller's text, in characters. Raises NotUnicodeError."""
        return (self._prompt if isinstance(self.text_encoder, FastTokenizer) else self.text_encoder).spans(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, added ones by their names. Raises InputError for an id that stands for none."""
        named = {number: content for content, number in {**self.control_ids, **self.added_words}.items()}
        if unknown := [each for each in ids if each not in named and self._literal.id_to_token(each) is None]:
            raise InputError(f"the tokenizer has no token {unknown[0]}")
        decode = self._literal.decode
        runs = groupby(ids, named.get)
        return "".join(decode(list(run)) if name is None else name * len(list(run)) for name, run in runs)

    def _refuse_spans(self, prefixes: Sequence[QueryPrefix], tails: Sequence[str]) -> None:
        """Raise CheckpointError if an added word could span two texts that are encoded apart."""
        for prefix in dict.fromkeys(prefixes):
            self._added.refuse_span(self._prefix_end, prefix.text)
        for prefix, tail in dict.fromkeys(zip(prefixes, tails, strict=True)):
            self._added.refuse_span(self._middle_end if len(self._middle_ids) else prefix.text, tail)

    def _refuse_cut(self, rows: Sequence[Row], budget: int) -> None:
        for index, row in enumerate(rows):
            if row.receipt.truncated or row.receipt.query_truncated:
                raise TooLongError(
                    f"pair {index} is longer than the {budget} tokens that fit beside the template, and was not to be "
                    "cut; shorten its document or allow cutting",
                    index,
                )

    def _row(self, prefix: _EncodedPrefix, tail: PartialTokens, budget: int, limits: Limits, cache_salt: int) -> Row:
        room, ids = budget - len(prefix.ids), tail.ids
        if limits.document_tokens is not None:
            room = min(room, limits.document_tokens)
        kept = ids[:room] if limits.keep == "start" or len(ids) <= room else ids[len(ids) - room :]
        start = len(self.prefix_ids)
        boundaries = (start, start + prefix.opening_tokens, start + len(prefix.ids) + len(self._middle_ids))
        is_lower_bound = prefix.is_lower_bound or not tail.is_whole
        receipt = Receipt(len(ids), len(kept), prefix.query_tokens, prefix.kept_query_tokens, is_lower_bound)
        parts = (self.prefix_ids, prefix.ids, self._middle_ids, kept, self.suffix_ids)
        return Row(np.concatenate(parts), boundaries, receipt, cache_salt)

    def _read(self, texts: Sequence[str], most: int, keep: str = "start") -> list[PartialTokens]:
        """The tokens of each text; of a long one that has more than `most`, more than that, from the end that stays."""
        short = [text for text in texts if len(text) <= SLICE_CHARACTERS or self._partial is None]
        encoded = iter(self.text_encoder.encode(short))
        read: list[PartialTokens] = []
        for text in texts:
            if len(text) <= SLICE_CHARACTERS or self._partial is None:
                read.append(PartialTokens(next(encoded)))
                continue
            # What is not encoded is not refused by the tokenizer.
            if lone_surrogate(text) is not None:
                raise NotUnicodeError(_no_unicode([text]))
            end = self._partial.first if keep == "start" else self._partial.last
            read.append(end(text, most + 1))
        return read

    def _partial_encoder(self, fields: Mapping[str, Any], longest: int, *, parsing: bool) -> PartialEncoder | None:
        """What encodes one end of a long text, None for a tokenizer for which that is not known to be exact."""
        if not is_qwen_bpe(fields):
            return None
        encode, found = self.text_encoder.encode, list(self._added.word_fields)
        if parsing:
            found += self._added.control_fields
        if found:
            return PartialEncoder(encode, None, TokenSpans(found))
        normalizer, pre_tokenizer, model = self._literal.normalizer, self._literal.pre_tokenizer, self._literal.model
        assert normalizer is not None, "it is NFC"
        assert pre_tokenizer is not None, "it is Qwen's"

        def merge(word: str) -> tuple[list[int], list[int]]:
            tokens = model.tokenize(word)
            return [token.id for token in tokens], [len(token.value) for token in tokens]

        return PartialEncoder(
            encode, WordPieces(normalizer.normalize_str, pre_tokenizer.pre_tokenize_str, merge, longest)
        )

    def _encode_prefixes(self, prefixes: Sequence[QueryPrefix], budget: int, limits: Limits) -> list[_EncodedPrefix]:
        parts = [(each.text, each.opening, each.query, each.closing) for each in prefixes]
        # Queries share their instruction: what is equal is encoded once.
        distinct = list(dict.fromkeys(chain.from_iterable(parts)))
        # The least length that an error names is exact where some length of rows suffices.
        read = dict(zip(distinct, self._read(distinct, self.max_length), strict=True))
        limit = limits.query_tokens
        return [self._fitted(*(read[text] for text in texts), budget=budget, limit=limit) for texts in parts]

    def _fitted(
        self,
        whole: PartialTokens,
        opening: PartialTokens,
        query: PartialTokens,
        closing: PartialTokens,
        *,
        budget: int,
        limit: int | None,
    ) -> _EncodedPrefix:
        """The whole prefix if it fits, else one with a shorter query. The tokenizer never joins its parts."""
        num_opening, num_query = len(opening.ids), len(query.ids)
        wanted = query.ids if limit is None else query.ids[:limit]
        ids = whole.ids if len(wanted) == num_query else np.concatenate((opening.ids, wanted, closing.ids))
        if len(ids) < budget:
            return _EncodedPrefix(ids, num_opening, num_query, len(wanted), not query.is_whole)
        room = budget - num_opening - len(closing.ids)
        template = len(self.prefix_ids) + len(self.suffix_ids)
        least = template + (num_opening + len(closing.ids) + 2 if self._truncate_queries else len(ids) + 1)
        if room < 2:
            taken = budget + template - room
            raise QueryTooLongError(
                f"rows of {budget + template} tokens are too short: template and instruction alone take {taken}; "
                f"shorten the instruction, or let rows have at least {taken + 2} tokens (max_length)",
                least,
            )
        if not self._truncate_queries:
            at_least = "" if whole.is_whole else "at least "
            raise QueryTooLongError(
                f"instruction and query take {at_least}{len(whole.ids):,} tokens, and max_length={self.max_length} "
                f"leaves them {budget:,}, so no document fits; shorten the query, raise max_length, or ask for "
                "truncate_queries",
                least,
            )
        # Half of the room is left to the document: a row without any of it could not be judged.
        kept = query.ids[: room // 2]
        ids = np.concatenate((opening.ids, kept, closing.ids))
        return _EncodedPrefix(ids, num_opening, num_query, len(kept), not query.is_whole)

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
                ids.extend(self._prompt.encode([piece])[0])
        return np.array(ids, dtype=np.int32)

    def _parsing(self, fields: dict[str, Any], source: str) -> _TextEncoder:
        return _TextEncoder(_load(_written(fields, source), source), {**self.added_words, **self.control_ids})

    def _refuse_other_prompt(self, constants: Mapping[str, Ids], fields: dict[str, Any], source: str) -> None:
        """Raise CheckpointError where an added word swallows a control token of the prompt itself."""
        parsing = self._parsing(fields, source)
        for text, expected in constants.items():
            if not np.array_equal(parsing.encode([text])[0], expected):
                raise CheckpointError(
                    f"{source}: with its added words the prompt's own {text[:40]!r} would lose a control token; take "
                    "the word that holds one out of added_tokens"
                )

    def word_id(self, word: str) -> int:
        """The id of a word that is one token; raises CheckpointError for any other."""
        ids = self._literal.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise CheckpointError(
                f"{self._source}: {word!r} must be one token, got {len(ids)}; this is no Qwen3 tokenizer"
            )
        return int(ids[0])


class _TextEncoder:
    """A tokenizer whose added tokens have the ids of the file. The library numbers them again, in order."""

    def __init__(self, tokenizer: Tokenizer, added: Mapping[str, int]) -> None:
        self.tokenizer = tokenizer
        numbers = {content: number for content in added if (number := tokenizer.token_to_id(content)) is not None}
        self._id_of: Ids | None = None
        if any(number != added[content] for content, number in numbers.items()):
            self._id_of = np.arange(max(tokenizer.get_vocab().values()) + 1, dtype=np.int32)
            self._id_of[list(numbers.values())] = [added[content] for content in numbers]

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens of each text; raises NotUnicodeError for one that is no valid Unicode."""
        return [self._ids(each) for each in self._encodings(self.tokenizer.encode_batch_fast, texts)]

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """Id, start and stop of each token of a text, in characters; raises what `encode` raises."""
        [encoding] = self._encodings(self.tokenizer.encode_batch, [text])
        return [(id, *span) for id, span in zip(self._ids(encoding).tolist(), encoding.offsets, strict=True)]

    def _encodings(self, encode: Callable[..., list[Encoding]], texts: Sequence[str]) -> Iterator[Encoding]:
        for some in _by_size(texts):
            try:
                yield from encode(some, add_special_tokens=False)
            except TypeError:
                raise NotUnicodeError(_no_unicode(some)) from None
            except BaseException as error:
                # A panic of the library derives from BaseException; a hostile pattern can bring one about.
                if type(error).__name__ != "PanicException":
                    raise
                raise CheckpointError(f"the tokenizer failed on a text: {shown(str(error))}") from None

    def _ids(self, encoding: Encoding) -> Ids:
        ids = np.array(encoding.ids, dtype=np.int32)
        return ids if self._id_of is None else self._id_of[ids]


def _by_size(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in lists of a million characters. An encoding takes many times its ids' memory."""
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
        if (index := lone_surrogate(text)) is not None:
            return f"a text is not valid Unicode: a lone surrogate at character {index} of {text!r:.60}"
    raise AssertionError("the tokenizer refused text that is Unicode")


def _written(fields: dict[str, Any], source: str) -> str:
    model = fields.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise CheckpointError(f"{source}: expected a byte-level BPE model; this is no Qwen3 tokenizer")
    # A checkpoint's own truncation, padding or frame would cut, fill or wrap rows unnoticed.
    return json.dumps({**fields, "truncation": None, "padding": None, "post_processor": None})


def _load(written: str, source: str) -> Tokenizer:
    tokenize_alone_in_children()
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
