"""ExtractedText: the text of a file that is no text, such as a PDF, with its headings, pages, slides or sheets."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from qwen3_reranker.documents.passages import WORDS, Passage, passages
from qwen3_reranker.errors import InputError

#: A file that gives more characters is no document, but made to fill a disk.
MAX_CHARACTERS = 32 << 20


class Heading(NamedTuple):
    """A heading on a line, counted from 1; depth 1 is the outermost."""

    line: int
    depth: int
    words: str


class Page(NamedTuple):
    """A page, slide, sheet or chapter, from its first line on. row: the row on that line, 0 where lines are none."""

    first_line: int
    name: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """Lines joined by `\\n`, and what lies on them.

    pages: in order of their lines, none where the format has no pages. fields: facts of the whole file.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[Page, ...] = ()
    title: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def part_of(self, line: int) -> str:
        """Where a line lies, such as `page 3` or `sheet Orders, row 17`; empty where there are no pages."""
        index = bisect_right(self.pages, line, key=lambda page: page.first_line) - 1
        if index < 0:
            return ""
        page = self.pages[index]
        return f"{page.name}, row {page.row + line - page.first_line}" if page.row else page.name

    def to_json(self) -> bytes:
        """All of it, in UTF-8."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def of_json(cls, written: bytes) -> Self:
        """What `to_json` wrote."""
        read = json.loads(written)
        headings, pages = (Heading(*each) for each in read["headings"]), (Page(*each) for each in read["pages"])
        return cls(read["text"], tuple(headings), tuple(pages), read["title"], read["fields"])


def extracted_passages(extracted: ExtractedText, most: int, unit: re.Pattern[str] = WORDS) -> Iterator[Passage]:
    """The passages of a text, as `passages` cuts it. None goes on over the end of a page, slide, sheet or row."""
    lines = extracted.text.split("\n")
    pages = extracted.pages or (Page(1, ""),)
    for page, after in zip(pages, [*(page.first_line for page in pages[1:]), len(lines) + 1], strict=True):
        text, above = "\n".join(lines[page.first_line - 1 : after - 1]), page.first_line - 1
        for each in passages(text, most, is_table=page.row > 0, unit=unit):
            first, last = each.first_line + above, each.last_line + above
            yield Passage(each.text, first, last, extracted.part_of(first))


class TextBuilder:
    """Gathers the lines of an ExtractedText. Raises InputError when they are more than MAX_CHARACTERS."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._headings: list[Heading] = []
        self._pages: list[Page] = []
        self._characters = 0

    @property
    def next_line(self) -> int:
        """The number of the line that is added next."""
        return len(self._lines) + 1

    @property
    def first_heading(self) -> str:
        """The words of the first heading, empty if there is none."""
        return self._headings[0].words if self._headings else ""

    def add_line(self, text: str) -> None:
        """Add one line as it is."""
        self._characters += len(text) + 1
        if self._characters > MAX_CHARACTERS:
            raise InputError(f"more than {MAX_CHARACTERS >> 20} million characters")
        self._lines.append(text)

    def add_paragraph(self, text: str, depth: int = 0) -> None:
        """Add the lines of a paragraph and a blank line. A heading has a depth, and is marked as in Markdown."""
        lines = [joined for line in text.split("\n") if (joined := " ".join(line.split()))]
        if not lines:
            return
        if depth:
            lines = [" ".join(lines)]
            self.add_heading(self.next_line, depth, lines[0])
            lines[0] = f"{'#' * min(depth, 6)} {lines[0]}"
        for line in lines:
            self.add_line(line)
        self.add_line("")

    def add_row(self, text: str) -> None:
        """Add a row of a table, which follows the row above it without a blank line."""
        if len(self._lines) > 1 and not self._lines[-1] and self._lines[-2].startswith("| "):
            self._lines.pop()
        self.add_line("| " + " ".join(text.split()))
        self.add_line("")

    def add_heading(self, line: int, depth: int, words: str) -> None:
        """Say that a heading stands on a line. What is longer than a line of a page is none."""
        if words and len(words) <= 300:
            self._headings.append(Heading(line, depth, words))

    def begin_page(self, name: str, row: int = 0) -> None:
        """Begin a page, slide or sheet with the next line."""
        if self._pages and self._pages[-1].first_line == self.next_line:
            self._pages.pop()
        self._pages.append(Page(self.next_line, name, row))

    def built(self, title: str = "", **fields: Any) -> ExtractedText:
        """All that was added; headings in the order of their lines. Halves of characters are left out."""
        found = sorted(self._headings, key=lambda heading: heading.line)
        headings = tuple(each._replace(words=_whole(each.words)) for each in found)
        pages = tuple(each._replace(name=_whole(each.name)) for each in self._pages)
        return ExtractedText(_whole("\n".join(self._lines)), headings, pages, _whole(" ".join(title.split())), fields)


def _whole(text: str) -> str:
    """Without lone surrogates and NUL, which are no text."""
    return text.encode("utf-8", "ignore").decode().replace("\0", "")
