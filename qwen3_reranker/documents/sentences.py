"""A text -> its sentences, in any script, in code and in lists."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from qwen3_reranker.documents.passages import TOKENS, cut

#: More sentences than this are joined with their neighbours.
MOST_SENTENCES = 64
# In pieces of text that are close to a token each. Fewer are a heading, a bracket or "Yes.", which says nothing alone.
_FEWEST, _MOST = 5, 100
# Thai, Lao, Khmer and Burmese have no sign for the end of a sentence, and a blank may end one. It does after so many.
_FEWEST_BEFORE_BLANK = 30
_CLAUSE_SCRIPTS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_CLOSING = r"[\"'”’»)\]」』】）*_]{0,8}"
# White space after a sentence; the indentation of the next line is the next sentence's.
_SPACE = r"(?:(?:[^\S\n]*\n)+|[^\S\n]+(?=\S))"
# Latin signs end a sentence before white space, wide ones always. Runs are bounded, so that a search takes linear time.
_END = re.compile(
    rf"[.!?…]{{1,8}}{_CLOSING}{_SPACE}"
    rf"|[。！？｡।॥؟۔။]{{1,8}}{_CLOSING}{_SPACE}?"
    rf"|\n(?:[^\S\n]*\n)*"
    rf"|(?<=[{_CLAUSE_SCRIPTS}])[^\S\n]+(?=\S)"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|vs|cf|Fig|al|e\.g|i\.e|z\.B|Nr|bzw|approx)|^\s*\d{1,3})\.$"
)
# What a sentence begins with, beside a letter or a digit: in a table a bar may follow a full stop.
_OPENING = "\"'“‘«„([{「『【¿¡*#-"
# A longer line that a small letter follows was wrapped, and goes on.
_WRAPPED_LINE = 40


def sentences(text: str, most: int = MOST_SENTENCES) -> list[tuple[int, int]]:
    """Start and end of each sentence, at most `most` of them; joined they are the whole text.

    A sentence has the white space after it, and the last one that before it too, so that a text without one of them is
    spaced as before. It ends at a full stop of its script, and at the end of a line that is not wrapped. One that is
    very short is joined with the next, and one that is very long is cut. Of more than `most`, as many neighbours are
    joined as it takes.
    """
    ends = list(_ends(text))
    if not ends:
        return []
    joined = math.ceil(len(ends) / most)
    ends = [*ends[joined - 1 : -1 : joined], *ends[-1:]]
    starts = [0, *ends[:-1]]
    if len(ends) > 1:
        starts[-1] = ends[-2] = len(text[: starts[-1]].rstrip())
    return list(zip(starts, ends, strict=True))


def _ends(text: str) -> Iterator[int]:
    """Where each sentence ends, with the white space after it."""
    start = 0
    for end in _whole_ends(text):
        if _units(text, start, end) > _MOST:
            yield from (part.start for part in cut(text, start, end, _MOST, TOKENS) if part.start > start)
        yield end
        start = end


def _whole_ends(text: str) -> list[int]:
    """Ends of sentences of any length, but of none that is too short to say something beside others."""
    ends: list[int] = []
    start = 0
    for match in _END.finditer(text):
        is_blank = match[0].isspace() and "\n" not in match[0]
        fewest = _FEWEST_BEFORE_BLANK if is_blank else _FEWEST
        if _is_end(text, start, match) and _units(text, start, match.end()) >= fewest:
            start = match.end()
            ends.append(start)
    if start < len(text) and text.strip():
        if ends and _units(text, start, len(text)) < _FEWEST:
            ends.pop()
        ends.append(len(text))
    return ends


def _is_end(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a sign that may end a sentence, or a line's end, does so here."""
    following = text[match.end() : match.end() + 1]
    if match[0].startswith("\n"):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        goes_on = len(line) >= _WRAPPED_LINE and match[0] == "\n" and following.islower()
        return not goes_on
    if match[0][0] in ".!?…":
        before = text[max(start, match.start() - 12) : match.start() + 1]
        begins = (following.isalnum() and not following.islower()) or following in _OPENING
        return "\n" in match[0] or (begins and not _ABBREVIATION.search(before))
    return True


def _units(text: str, start: int, end: int) -> int:
    return sum(1 for _ in TOKENS.finditer(text, start, end))
