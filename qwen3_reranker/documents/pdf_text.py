"""PDF -> its text, page by page, below the headings of its outline."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import pypdfium2

from qwen3_reranker.documents.extracted_text import ExtractedText, TextBuilder
from qwen3_reranker.errors import InputError

_PASSWORD = 4
# What the library writes for a hyphen that the end of a line put into a word, and the dots of a table of contents.
_HYPHEN, _LEADERS = re.compile("[\x02\ufffe](?:\r?\n)?"), re.compile(r"(?:\s?\.){5,}")
# An outline may refer to itself, and a hostile one may be endless.
_MAX_DEPTH, _MAX_HEADINGS = 6, 20_000


def pdf_text(content: bytes) -> ExtractedText:
    """The text of a PDF, and the number of its pages.

    Raises InputError for one that asks for a password, that cannot be read, or whose pages are pictures.
    """
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        encrypted = getattr(error, "err_code", None) == _PASSWORD
        raise InputError("encrypted PDF" if encrypted else "damaged PDF") from None
    outline = _outline(document)
    builder = TextBuilder()
    empty = 0
    for number in range(len(document)):
        lines = list(_lines(document, number))
        empty += not lines
        builder.begin_page(f"page {number + 1}")
        _add_headings(builder, outline.pop(number, []), lines)
        for line in lines:
            builder.add_line(line)
        builder.add_line("")
    if empty == len(document):
        raise InputError("PDF without text, needs OCR")
    title = document.get_metadata_value("Title")
    counts = {"pages": len(document)} | ({"pages_without_text": empty} if empty else {})
    return builder.built(title, **counts)


def _lines(document: pypdfium2.PdfDocument, number: int) -> Iterator[str]:
    try:
        page = document[number]
        text = page.get_textpage().get_text_bounded()
        page.close()
    except pypdfium2.PdfiumError:
        # The others can be read all the same.
        return
    for line in _HYPHEN.sub("", text).replace("\r", "\n").split("\n"):
        if joined := " ".join(_LEADERS.sub(" … ", line).split()):
            yield joined


def _outline(document: pypdfium2.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """The headings of each page, counted from 0: their depths and words."""
    found: dict[int, list[tuple[int, str]]] = {}
    try:
        for count, entry in enumerate(document.get_toc(max_depth=_MAX_DEPTH)):
            target = entry.get_dest()
            page = target and target.get_index()
            if count == _MAX_HEADINGS:
                break
            if page is not None and (words := " ".join(entry.get_title().split())):
                found.setdefault(page, []).append((entry.level + 1, words))
    except pypdfium2.PdfiumError:
        pass
    return found


def _add_headings(builder: TextBuilder, headings: list[tuple[int, str]], lines: list[str]) -> None:
    """Put each heading on the line that holds its words, below the heading before it; else where that one stands."""
    compact = [_compact(line) for line in lines]
    at = 0
    for depth, words in headings:
        wanted = _compact(words)
        at = next((place for place in range(at, len(lines)) if wanted and wanted in compact[place]), at)
        builder.add_heading(builder.next_line + at, depth, words)


def _compact(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
