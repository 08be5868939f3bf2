"""A text -> the words that BM25 counts, in any script."""

from __future__ import annotations

import re
import unicodedata

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


def words(text: str) -> list[str]:
    """Lower-case words in normal form NFKC; a script without spaces gives pairs of characters."""
    text = unicodedata.normalize("NFKC", text).lower()
    pairs = [run[index : index + 2] for run in _PAIRED.findall(text) for index in range(max(1, len(run) - 1))]
    return _WORD.findall(_PAIRED.sub(" ", text)) + pairs
