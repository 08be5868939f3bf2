"""One spelling for what people write in several ways: accents, points, and letters that keyboards lack."""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode does not decompose, and pairs that are written for one another.
_SAME = {
    **{"ß": "ss", "ẞ": "SS", "ı": "i", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"},
    **{"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ё": "е", "Ё": "Е", "ς": "σ"},
    # Arabic: bearers of hamza, final letters, and those of Persian keyboards. The stretching sign says nothing.
    **{"أ": "ا", "إ": "ا", "آ": "ا", "ٱ": "ا", "ؤ": "و", "ئ": "ي", "ى": "ي", "ی": "ي", "ة": "ه", "ک": "ك", "ـ": ""},
    # Devanagari: the nasal sign has two forms, and the dot below is often left out.
    **{"ँ": "ं", "़": ""},
}
# Accents; points of Hebrew; vowel signs of Arabic.
_POINTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
_ACCENTED = re.compile("[A-Za-z\u0370-\u03ff]")
# Devanagari writes a nasal before a consonant as a letter or as a sign.
_NASAL = re.compile("[ङञणनम]\u094d(?=[क-ह])")


class _Folded(dict[int, str]):
    """What stands for a character, for str.translate. It grows with what is asked for."""

    def __missing__(self, number: int) -> str:
        character = chr(number)
        parts = unicodedata.normalize("NFD", character)
        if character in _SAME:
            kept = _SAME[character]
        elif _POINTS.match(character):
            kept = ""
        elif len(parts) > 1 and _ACCENTED.match(parts):
            kept = _POINTS.sub("", parts)
        else:
            kept = character
        self[number] = kept
        return kept


_FOLDED = _Folded()


def folded(text: str) -> str:
    """The text in normal form NFKC without what is optional in its script; upper and lower case stay.

    Latin and Greek letters lose accents (ß is ss, Turkish i and ı are i), ё is е, Arabic and Hebrew lose points.
    """
    if text.isascii():
        return text
    return _NASAL.sub("\u0902", unicodedata.normalize("NFKC", text).translate(_FOLDED))
