"""A long text -> passages of a limited size, cut at headings, definitions and blank lines."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Ideographs, kana and hangul count as a word each, as there are no blanks between words; so does every 24 letters of
# a run without a blank, which bounds a passage of Thai or of base64 as well.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORDS = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,24}}")
#: Units of a passage's size: words, and pieces of text that are close to a token each in prose and in code.
TOKENS = re.compile(rf"[{_UNSPACED}]|[^\W_]{{1,8}}|[^\w\s]{{1,2}}|_")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)[\s#]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
# What begins a definition in the usual languages, at most one level deep.
_MODIFIERS = "export|default|public|private|protected|static|abstract|final|async|pub|unsafe|inline|const|virtual"
_KEYWORDS = (
    "def|class|fn|func|function|struct|impl|interface|enum|trait|type|module|namespace|sub|object|record|create|CREATE"
)
_DEFINITION = re.compile(rf" {{0,4}}\t?(?:@\w|#\[|(?:(?:{_MODIFIERS}) )*(?:{_KEYWORDS})\b)")
_ENDS, _WIDE_ENDS = ".!?", "。！？"


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text. Lines are counted from 1, and the last one is part of it.

    part: where it begins in a file that has pages, slides or sheets, such as `page 3`.
    """

    text: str
    first_line: int
    last_line: int
    part: str = ""


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A part of a text by its characters, and how many units it has. heading: it begins with one."""

    start: int
    end: int
    units: int
    heading: bool


def passages(
    text: str, most: int, *, is_code: bool = False, is_table: bool = False, unit: re.Pattern[str] = WORDS
) -> Iterator[Passage]:
    """Passages of at most `most` units, WORDS or TOKENS. Every word of the text is in exactly one of them.

    Paragraphs, and the rows of a table, are kept whole where they fit, a heading stays with what follows it, and a
    passage that is half full ends where a heading begins, or in code a definition. A paragraph that is too long is cut
    at ends of sentence, else of line, else between words.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    blocks = _code_blocks(text) if is_code else _rows(text) if is_table else _blocks(text)
    for start, end in _packed(_pieces(text, blocks, most, unit), most):
        yield Passage(text[start:end], bisect_right(starts, start), bisect_right(starts, end - 1))


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Line, depth and words of each heading in Markdown. In a fenced block a # begins a comment."""
    fenced = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not fenced and (found := _HEADING.match(line)):
            yield number, len(found[1]), found[2]
        fenced ^= bool(_FENCE.match(line))


def _packed(pieces: Iterator[TextSpan], most: int) -> Iterator[tuple[int, int]]:
    start, end, units = 0, 0, 0
    for piece in pieces:
        if units and (units + piece.units > most or (piece.heading and 2 * units >= most)):
            yield start, end
            units = 0
        if not units:
            start = piece.start
        end, units = piece.end, units + piece.units
    if units:
        yield start, end


def _pieces(text: str, blocks: Iterator[tuple[int, int, bool]], most: int, unit: re.Pattern[str]) -> Iterator[TextSpan]:
    for start, end, heading in blocks:
        units = _count(text, start, end, unit)
        if units <= most:
            yield TextSpan(start, end, units, heading)
            continue
        for part in cut(text, start, end, most, unit):
            yield replace(part, heading=heading and part.start == start)


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Paragraphs, each with the headings above it: (start, end, begins with a heading)."""
    start, end = -1, 0
    heading, headings_only, closed, fenced = False, False, False, False
    for line_start, line_end in _lines(text, 0, len(text)):
        line = text[line_start:line_end]
        if not line.strip():
            closed = not headings_only
            continue
        is_heading = not fenced and bool(_HEADING.match(line))
        fenced ^= bool(_FENCE.match(line))
        if start >= 0 and (closed or (is_heading and not headings_only)):
            yield start, end, heading
            start = -1
        if start < 0:
            start, heading, headings_only = line_start, is_heading, True
        headings_only = headings_only and is_heading
        end, closed = line_end, False
    if start >= 0:
        yield start, end, heading


def _code_blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Lines between blank lines: (start, end, holds the beginning of a definition)."""
    start, end, defines = -1, 0, False
    for line_start, line_end in _lines(text, 0, len(text)):
        if not text[line_start:line_end].strip():
            if start >= 0:
                yield start, end, defines
            start = -1
            continue
        if start < 0:
            start, defines = line_start, False
        defines = defines or bool(_DEFINITION.match(text, line_start, line_end))
        end = line_end
    if start >= 0:
        yield start, end, defines


def _rows(text: str) -> Iterator[tuple[int, int, bool]]:
    return ((start, end, False) for start, end in _lines(text, 0, len(text)) if text[start:end].strip())


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        yield start, stop
        start = stop + 1


def cut(text: str, start: int, end: int, most: int, unit: re.Pattern[str]) -> Iterator[TextSpan]:
    """A part of a text in parts of at most `most` units, even in size; the white space between them is in none."""
    units = list(unit.finditer(text, start, end))
    first = 0
    while (left := len(units) - first) > most:
        # Even shares: a last passage of three words would be judged without its context.
        even = first + math.ceil(left / math.ceil(left / most))
        places = range(max(first + 1, (first + even) // 2), first + most + 1)
        between = {place: text[units[place - 1].end() : units[place].start()] for place in places}
        blanks = [place for place in places if between[place] or unit is WORDS]
        lines = [place for place in blanks if "\n" in between[place]]
        # A dot that no blank follows may stand in a name.
        sentences = [place for place in blanks if text[units[place - 1].end() - 1] in _ENDS]
        sentences += [place for place in places if text[units[place - 1].end() - 1] in _WIDE_ENDS]
        place = min(sentences or lines or blanks or [even], key=lambda place: abs(place - even))
        yield TextSpan(units[first].start(), units[place - 1].end(), place - first, False)
        first = place
    if first < len(units):
        yield TextSpan(units[first].start(), units[-1].end(), len(units) - first, False)


def _count(text: str, start: int, end: int, unit: re.Pattern[str]) -> int:
    return len(unit.findall(text, start, end))
