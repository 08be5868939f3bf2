"""A text -> the words that BM25 counts, in any script, and the parts of identifiers."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from qwen3_reranker.search.folding import folded

# Scripts without spaces between words, and Korean, where endings join the word: pairs of characters are the words.
_PAIRED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\U00020000-\U0003134f]+"
)
# Vowel signs of Indic scripts and points of Hebrew and Arabic are marks, not letters (\w), but part of their word.
_WORD = re.compile(
    r"\w[\w\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    r"\u0900-\u0963\u0966-\u0dff\u0f71-\u0f84\u200c\u200d]*"
)
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Of Arabic words: the article, perhaps behind a word of one letter, is written as part of the word.
_AFTER_ARTICLE = re.compile(r"\b[وفبك]?ال(\w{2,})")


def words(text: str) -> list[str]:
    """Lower-case words in normal form NFKC; a script without spaces gives pairs of characters."""
    if text.isascii():
        # The same as below, four times as fast.
        return _ASCII_WORD.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).lower()
    pairs = [run[index : index + 2] for run in _PAIRED.findall(text) for index in range(max(1, len(run) - 1))]
    return _WORD.findall(_PAIRED.sub(" ", text)) + pairs


def words_and_parts(text: str) -> list[str]:
    """The `words` of a text in their `folded` spelling, and parts of them.

    getUserName and user_name both give user and name, and an Arabic word what follows its article.
    """
    text = folded(text)
    names = _ASCII_WORD.findall(text)
    parts = (part for name in names for part in _parts(name))
    if text.isascii():
        return [*(name.lower() for name in names), *parts]
    return [*words(text), *parts, *_AFTER_ARTICLE.findall(text)]


def last_characters(text: str) -> list[str]:
    """The last characters of runs in scripts without spaces: with them each character begins one of the words."""
    return [] if text.isascii() else [run[-1] for run in _PAIRED.findall(unicodedata.normalize("NFKC", text).lower())]


def paired_characters(text: str) -> list[str]:
    """The characters of a text in scripts without spaces, each once: words for what cannot search for beginnings."""
    runs = [] if text.isascii() else _PAIRED.findall(unicodedata.normalize("NFKC", text).lower())
    return list(dict.fromkeys("".join(runs)))


def is_one_character(word: str) -> bool:
    """Whether a word is one character of a script without spaces, which stands in a text as part of pairs."""
    return len(word) == 1 and bool(_PAIRED.fullmatch(word))


@lru_cache(1 << 16)
def _parts(name: str) -> tuple[str, ...]:
    """The parts of a name in a program, by underscore, case and digits; none if it is one word."""
    found = _PART.findall(name)
    return tuple(part.lower() for part in found if len(part) > 1) if len(found) > 1 else ()
