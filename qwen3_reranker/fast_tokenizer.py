"""A faster tokenizer where it is proven to give the same tokens. Every other text stays with the exact one.

gigatoken (the extra `fast-tokenizer`) is built from the checkpoint's own tokenizer.json. Two things can make its tokens
differ, and both are shut out: a tokenizer of another kind (`_refusal`, and a comparison on hard texts at load), and
tables of another version of Unicode (`vouched`).
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import groupby, islice
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.json_object import shown
from qwen3_reranker.partial_encoding import other_options, splits_as_qwen

Ids = NDArray[np.int32]
Exact = Callable[[Sequence[str]], list[Ids]]

_LOG = logging.getLogger(__name__)
# The library keeps every distinct word for ever, 11 bytes a character of hostile text (docs/log.md).
_CHARACTERS_UNTIL_RENEWAL = 64_000_000
# Blocks of later symbols, none a letter or a mark, and more Chinese characters: money, signs, emoji.
_LATER = (
    "\u20a0-\u20bf\u2600-\u27bf\u2b00-\u2b73"
    "\U0001f1e6-\U0001f1ff\U0001f300-\U0001f64f\U0001f680-\U0001f6d0\U0001f900-\U0001f9ff\U00020000-\U0002a6d6"
)
_CONTRACTIONS = ("'s", "'S", "'ſ", "'t", "'re", "'rE", "'VE", "'m", "'Ll", "'lL", "'d", "’s", "''s", "'K", "'x")
_HARD = (
    "",
    " ",
    "\x00a\x01 \x7f\x85\x1c\x1f",
    " don't I'LL we'Ve it'ſ 'tis x's1's \u212a's '\u017f'S ''''s",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nyes <|endoftext|> <tool_call><|fim_prefix|>",
    "a\r\nb\rc\n\n\nd \r\n \n\t e  \u00a0 f\u3000\u2028\u2029g\u200b\u180e\ufeffh   ",
    "0123456789 ٣٤٥ ५६७ ๑๒๓ 二〇 １２３ ²³¹ ½ ①② Ⅷ ⅷ 1,234.5e-6 ㉑",
    "e\u0301 e\u0323\u0301 e\u0301\u0323 a\u0345\u0301\u0327 \u0301x \u0338< = \u0338 o\u0308\u0304 \u1e69 s\u0307",
    "\u212b \u2126 \u0340 \u0344 \u0958 \u0929 \u0928\u093c \ufb1d \ufb2a \ufb01 \uf900 \u2adc \u1fbe \u037e",
    "\u1100\u1161\u11a8 각 \uac00\u11a8 \u1100\u1161 \u1100\u11a8 \u1161 ㄱㅏ ﾊﾟ パ ハ\u309a か\u3099 が",
    "日本語のテキスト、中文字符。한국어 텍스트 ไทยไม่มีช่องว่าง עִבְרִית العَرَبِيَّة हिन्दी में",
    "Ελληνικά Ёлка ёлка \U00020000\U0002a6d6 ქართული հայերեն தமிழ் తెలుగు ខ្មែរ",
    "👩‍👩‍👧 👨🏽‍🚀 🏳️‍🌈 🇩🇪 1️⃣ ☃️ ♥︎ 😀😀😀",
    "def f(x):\n\treturn {'a': [1,2]}[x]  # ok\n\n    if x != 0 && y <= z: /* \\n */ ...---===***```",
    "https://example.com/a_b-c?d=e&f=%20#g user@example.org C:\\dir\\file.txt $12.50 50% ~/.bashrc",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft Pneumonoultramicroscopic",
    "!" * 70 + "?!" * 40 + " " * 70 + "\n" * 70 + "-" * 130 + "的" * 70 + "0" * 70 + "\t" * 9,
    "ÀÉÎÕÜ àéîõü ß İıŞş ŁłŻż ǅǆ ʰʲ ªº µ ¼ ¨ © ® ™ € £ ¥ « » „ “ ” … – — ‑ ‰ † ‡ ∑ √ ≠ ≤ ← ↔ ■ ♪ ✓",
)


class FastTokenizer:
    """Encodes what it vouches for, and the rest with the exact tokenizer; made by `proven`."""

    def __init__(self, encoder: _GigatokenEncoder, exact: Exact) -> None:
        self._encoder = encoder
        self._exact = exact

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The tokens of each text; raises what the exact tokenizer raises."""
        found = [self.ids(text) for text in texts]
        rest = iter(self._exact([text for text, ids in zip(texts, found, strict=True) if ids is None]))
        return [next(rest) if ids is None else ids for ids in found]

    def ids(self, text: str) -> Ids | None:
        """The tokens of `text`, or None where the exact tokenizer must encode it."""
        if not vouched(text):
            return None
        try:
            return self._encoder.ids(text)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:
            # A panic of the library derives from BaseException.
            _LOG.warning("tokenizer: gigatoken failed on a text, which tokenizers takes: %s", shown(str(error)))
            return None


def proven(written: str, fields: dict[str, Any], exact: Exact) -> FastTokenizer | None:
    """The faster tokenizer if it is installed and gives the tokens of `exact`, else None. A log line says which.

    written: the tokenizer.json that `exact` was made of, without added tokens, as text; fields: the same as an object.
    """
    try:
        encoder = _examined(written, fields, exact)
    except _UnfitError as error:
        reason = str(error)
    except ImportError:
        reason = "it is not installed (the extra fast-tokenizer)"
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        reason = f"it failed: {shown(str(error))}"
    else:
        _LOG.info("tokenizer: gigatoken, which gave the tokens of tokenizers on every hard text")
        return FastTokenizer(encoder, exact)
    _LOG.info("tokenizer: tokenizers; gigatoken is not used: %s", reason)
    return None


def vouched(text: str) -> bool:
    """Whether every version of Unicode in use treats all characters alike.

    Those are the characters of Unicode 3.2 in the first plane, as what is assigned keeps its normal form for ever, and
    a few blocks of symbols. The two libraries' tables are years apart: in a script that one of them does not
    know, letters are no letters and marks are not put in order. The tests compare every character that is let through.
    """
    return text.isascii() or _unvouched().search(text) is None


@cache
def _unvouched() -> re.Pattern[str]:
    # Cn: not assigned then. Co: private, for anybody to use. Cs: halves of a pair, which are no text.
    category = unicodedata.ucd_3_2_0.category
    known = [code for code in range(0x10000) if category(chr(code)) not in ("Cn", "Co", "Cs")]
    # A run of neighbours is what stays constant when its place in the list is taken off.
    runs = [list(run) for _, run in groupby(enumerate(known), lambda pair: pair[1] - pair[0])]
    ranges = "".join(f"\\u{run[0][1]:04x}-\\u{run[-1][1]:04x}" for run in runs)
    return re.compile(f"[^{ranges}{_LATER}]")


class _GigatokenEncoder:
    """gigatoken's tokenizer, made again now and then, as it remembers every word."""

    def __init__(self, make: Callable[[str], Any], written: str) -> None:
        self._make, self._written = make, written
        self._renew()

    def _renew(self) -> None:
        self._tokenizer = self._make(self._written)
        self._characters_left = _CHARACTERS_UNTIL_RENEWAL

    def ids(self, text: str) -> Ids:
        """The tokens of any text. Text by text, as its batches pad to the longest or take another library."""
        if self._characters_left < 0:
            self._renew()
        self._characters_left -= len(text)
        ids: Ids = self._tokenizer.encode(text).view(np.int32)
        return ids


_ENCODERS: WeakValueDictionary[bytes, _GigatokenEncoder] = WeakValueDictionary()


def _shared_encoder(make: Callable[[str], Any], written: str) -> _GigatokenEncoder:
    """One for all models of a process with the same tokenizer. It takes a third of a second to make."""
    digest = hashlib.sha256(written.encode()).digest()
    encoder = _ENCODERS.get(digest)
    if encoder is None:
        encoder = _ENCODERS[digest] = _GigatokenEncoder(make, written)
    return encoder


class _UnfitError(Exception):
    """Why the faster tokenizer must not be used."""


def _examined(written: str, fields: dict[str, Any], exact: Exact) -> _GigatokenEncoder:
    from gigatoken import Tokenizer

    if reason := _refusal(fields):
        raise _UnfitError(reason)
    encoder = _shared_encoder(Tokenizer.from_json, written)
    texts = _trial(fields["model"]["vocab"])
    for text, expected in zip(texts, exact(texts), strict=True):
        if not np.array_equal(encoder.ids(text), expected):
            raise _UnfitError(f"its tokens of {text!r:.60} differ")
    return encoder


def _refusal(fields: dict[str, Any]) -> str:
    """Why a tokenizer is not of the one kind whose speed-up was examined, or nothing."""
    if fields.get("normalizer") != {"type": "NFC"}:
        return "the normalizer is not NFC"
    if not splits_as_qwen(fields.get("pre_tokenizer")):
        return "texts are not split as Qwen3 splits them"
    model = fields["model"]
    if found := other_options(model):
        return f"the model has {', '.join(found)}"
    words, merges = model.get("vocab"), model.get("merges")
    if not isinstance(words, dict) or not isinstance(merges, list) or len(words) != 256 + len(merges):
        return "the vocabulary is not 256 bytes and one word a merge"
    for number, merge in enumerate(merges, 256):
        if words.get("".join(merge.split(" ") if isinstance(merge, str) else merge)) != number:
            return f"merge {number - 256} does not make word {number}"
    return ""


def _trial(words: Iterable[str]) -> list[str]:
    """Texts that tell tokenizers apart: hard ones, characters of all kinds, words they know."""
    texts = [text for hard in _HARD for text in (hard, unicodedata.normalize("NFD", hard), f" {hard}x")]
    texts += [f"{start}{each}{end}" for each in _CONTRACTIONS for start in ("", "we", "É", "1 ") for end in ("", "e")]
    some = (each for each in map(chr, range(0x80, 0x10000, 29)) if vouched(each))
    texts += _joined(f"{each} x{each}'s{each}\u0301" for each in some)
    texts += _joined(word for word in islice(words, 0, None, 251) if word.isascii())
    return [text for text in texts if vouched(text)]


def _joined(parts: Iterable[str]) -> list[str]:
    every = list(parts)
    return ["".join(every[start : start + 30]) for start in range(0, len(every), 30)]
