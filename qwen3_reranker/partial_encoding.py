"""The first or the last tokens of a long text, exactly those of the whole text, without encoding all of it.

A text is cut where the tokenizer surely cuts it too: at a place where no word of its pre-tokenizer can reach across and
no normal form joins what is left and right of it. Where a text has no such place for long (a word of a million
letters), a place inside the word is proven: see `_cut_in_word`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]

#: Qwen's expression of a pre-token. The places below are certain for this one alone.
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: Texts of so many characters are always encoded whole, and longer ones in slices of about that size.
SLICE_CHARACTERS = 1 << 16

_OTHER_OPTIONS = (
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
)
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_RUN_OF_SPACES = re.compile(f"[{_SPACES}]*").match
_LINE_ENDS = re.compile(r"[\r\n]*").match
_SURE_LETTER = r"A-Za-z\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
_SURE_SIGN = r"!-/:-@\[-`{-~\u3001\u3002\u300c-\u300f\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
# No pre-token holds a neighbour pair of these, no lookahead crosses one, and the right character never joins the left
# one in a normal form. All are of classes that no version of Unicode changes.
_SURE_CUT = re.compile(
    rf"(?<=[^\s\u180e])(?=[ \t0-9])|(?<=[0-9])(?=[!-~])|(?<=[\r\n])(?=[!-~])|(?<=[{_SURE_LETTER}])(?=[{_SURE_SIGN}])"
)


def is_qwen_bpe(fields: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json normalises, splits and merges as Qwen's do; trim_offsets moves no token."""
    return (
        fields.get("normalizer") == {"type": "NFC"}
        and splits_as_qwen(fields.get("pre_tokenizer"))
        and not other_options(fields["model"])
    )


def splits_as_qwen(pre_tokenizer: object) -> bool:
    """Whether it is Qwen's expression and then bytes."""
    match pre_tokenizer:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern == QWEN_SPLIT
    return False


def other_options(model: Mapping[str, Any]) -> list[str]:
    """Options of a BPE model that Qwen's have not, and that change what it merges."""
    return [name for name in _OTHER_OPTIONS if model.get(name)]


@dataclass(frozen=True, slots=True)
class PartialTokens:
    """Tokens of a text: all of them, or where `is_whole` is False those at one end of it."""

    ids: Ids
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class WordPieces:
    """Parts of a tokenizer, for words that are too long to be encoded whole.

    normalize: text -> its normal form. pre_tokenize: text -> words as their bytes, a character each, with their
    ranges in the text. merge: such a word -> its tokens and their numbers of bytes. longest: bytes of the longest
    token.
    """

    normalize: Callable[[str], str]
    pre_tokenize: Callable[[str], Sequence[tuple[str, tuple[int, int]]]]
    merge: Callable[[str], tuple[list[int], list[int]]]
    longest: int


class Spans(Protocol):
    """Where tokens that are found in texts may lie across a cut."""

    longest: int

    def possible(self, left: str, right: str) -> bool:
        """Whether a token could lie across two neighbouring texts of `longest` characters."""
        ...


class PartialEncoder:
    """Encodes one end of a text.

    encode: texts -> their tokens. pieces: None where tokens are found in texts, as added words are; then a word of the
    pre-tokenizer is encoded whole, however long it is. spans: of these tokens.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[str]], list[Ids]],
        pieces: WordPieces | None,
        spans: Spans | None = None,
        slice_characters: int = SLICE_CHARACTERS,
    ) -> None:
        self._encode = encode
        self._pieces = pieces
        self._spans = spans
        self._size = slice_characters

    def first(self, text: str, least: int) -> PartialTokens:
        """All tokens of a text, or at least so many of its first ones."""
        found: list[Ids] = []
        count = 0
        for ids, is_last in self._slices(text):
            found.append(ids)
            count += len(ids)
            if count >= least and not is_last:
                return PartialTokens(np.concatenate(found), is_whole=False)
        return PartialTokens(np.concatenate(found))

    def last(self, text: str, least: int) -> PartialTokens:
        """All tokens of a text, or at least so many of its last ones."""
        found: list[Ids] = []
        count, stop = 0, len(text)
        while stop and (count < least or not found):
            start = self._last_slice(text, stop)
            # What lies between two places for sure has the tokens that it has alone.
            tail = self._tail(text[start:stop], least)
            found.append(tail.ids)
            count += len(tail.ids)
            stop = start
            if not tail.is_whole:
                return PartialTokens(np.concatenate(found[::-1]), is_whole=False)
        return PartialTokens(np.concatenate(found[::-1]) if found else self._all(""), is_whole=not stop)

    def _tail(self, text: str, least: int) -> PartialTokens:
        """The last tokens of a text that can only be encoded from its start."""
        kept, is_whole = np.zeros(0, dtype=np.int32), True
        for ids, _ in self._slices(text):
            kept = np.concatenate((kept, ids))
            if len(kept) > 2 * least + self._size:
                kept, is_whole = kept[-least:].copy(), False
        return PartialTokens(kept, is_whole)

    def _slices(self, text: str) -> Iterator[tuple[Ids, bool]]:
        """Tokens from the start, slice by slice, and whether they are the last ones."""
        start = normal = 0
        while len(text) - start > self._size:
            before = start
            if (stop := self._sure_cut(text, start + self._size // 2, start + self._size)) is not None:
                yield self._all(text[start:stop]), False
                start = stop
            elif self._pieces is not None:
                if normal < len(text):
                    stop = _before_starter(text, start + self._size // 2, start + self._size)
                    part = self._pieces.normalize(text[start:stop])
                    text = f"{text[:start]}{part}{text[stop:]}"
                    normal = start + len(part)
                for ids, stop in self._in_words(self._pieces, text, start, min(normal, start + self._size)):
                    yield ids, False
                    start = stop
            if start == before:
                break
        yield self._all(text[start:]), True

    def _last_slice(self, text: str, stop: int) -> int:
        """Where the last slice of text[:stop] starts: a sure place, as near as there is one."""
        while stop > self._size:
            middle = stop - self._size // 2
            start = self._sure_cut(text, stop - self._size, middle)
            if start is not None:
                return start
            stop = middle
        return 0

    def _sure_cut(self, text: str, low: int, high: int) -> int | None:
        """The last place from low to high, both inside the text, where the tokenizer surely cuts."""
        # Most texts have one near: a search of all would take as long as encoding.
        for near in (256, high - low):
            first = max(low, high - near)
            for found in reversed([match.start() for match in _SURE_CUT.finditer(text, first, high + 1)]):
                if low <= found <= high and not self._is_spanned(text, found):
                    return found
        return None

    def _is_spanned(self, text: str, cut: int) -> bool:
        if self._spans is None:
            return False
        far = self._spans.longest
        return self._spans.possible(text[max(0, cut - far) : cut], text[cut : cut + far])

    def _all(self, text: str) -> Ids:
        [ids] = self._encode([text])
        return ids

    def _in_words(self, pieces: WordPieces, text: str, start: int, stop: int) -> Iterator[tuple[Ids, int]]:
        """Tokens from `start` on, each with the place up to which they go. Nothing where no place was found.

        text[start:stop]: in normal form, which nothing after it changes.
        """
        window = text[start:stop]
        words = pieces.pre_tokenize(window)
        # The last word may go on after the window, and spaces are split by what follows all of them.
        settled = len(window.rstrip(_SPACES)) if window[-1] in _SPACES else words[-1][1][0]
        ends = [end for _, (_, end) in words if end <= settled]
        # Cut after the second of two words of spaces, the two would become one.
        if ends := [*ends[:1], *(end for end in ends[1:] if window[end - 1] not in _SPACES)]:
            yield self._all(window[: ends[-1]]), start + ends[-1]
            return
        end = _end_of_first_word(text, start, window)
        while end is None or end > stop:
            cut = _cut_in_word(pieces, text[start:stop])
            if cut is None:
                return
            ids, characters = cut
            start += characters
            yield ids, start
            # Letters, signs or spaces go on as the same word. Line ends after signs would begin another one.
            if end is None or not window.rstrip(_SPACES):
                return
            stop = min(end, start + self._size)
        yield self._all(text[start:end]), end


def _before_starter(text: str, low: int, high: int) -> int:
    """The last place up to `high` where no normal form joins left and right, else the end of the text."""
    for place in range(high, low, -1):
        # Marks join the letter before them, as do the vowels and last consonants of Korean.
        if (
            unicodedata.category(text[place]) not in ("Mn", "Mc", "Me", "Cn")
            and not "\u1160" <= text[place] <= "\u11ff"
        ):
            return place
    return len(text)


def _end_of_first_word(text: str, start: int, window: str) -> int | None:
    """Where the word from `start` ends that fills the window after it; None for one that the window does not end."""
    if window[-1] not in _SPACES:
        return None
    if signs := len(window.rstrip(_SPACES)):
        return _LINE_ENDS(text, start + signs).end()  # type: ignore[union-attr]
    stop = _RUN_OF_SPACES(text, start).end()  # type: ignore[union-attr]
    last_line_end = max(text.rfind("\n", start, stop), text.rfind("\r", start, stop))
    if last_line_end >= 0:
        return last_line_end + 1
    # The last space belongs to what follows.
    return stop if stop == len(text) else stop - 1


def _cut_in_word(pieces: WordPieces, part: str) -> tuple[Ids, int] | None:
    """The first tokens of a word that begins with `part` and goes on, and their characters. None: nothing is proven.

    Merges of bytes that never cross a place are those of the two sides alone. So tokens that are neighbours in one word
    are neighbours in any word whose sides give them at that place. The word has the end of a token among the last
    `longest` bytes of the part. If its tokens from a place to each of these ends begin with the same token, it is cut
    at the place.
    """
    spelt, raw = "".join(word for word, _ in pieces.pre_tokenize(part)), part.encode()
    ids, sizes = pieces.merge(spelt)
    ends = np.cumsum(sizes)
    for distance in (8 * pieces.longest, 64 * pieces.longest, len(spelt) // 2):
        number = int(np.searchsorted(ends, len(spelt) - distance, side="right")) - 1
        # A token may end inside a character.
        while number >= 0 and raw[ends[number]] & 0xC0 == 0x80:
            number -= 1
        if number < 0 or len(spelt) - ends[number] < pieces.longest:
            continue
        cut = int(ends[number])
        possible = range(len(spelt) - pieces.longest + 1, len(spelt) + 1)
        if all(pieces.merge(spelt[cut:stop])[0][0] == ids[number + 1] for stop in possible):
            return np.array(ids[: number + 1], dtype=np.int32), len(raw[:cut].decode())
    return None
