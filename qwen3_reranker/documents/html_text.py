"""HTML -> its text, with the line of the source for each line of the text."""

from __future__ import annotations

from html.parser import HTMLParser

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "head"})
_BLOCK_NAMES = (
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr li main nav ol p pre section summary table td th tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())


def html_text(source: str) -> tuple[str, str, list[int]]:
    """The title, the text that a reader sees, and the line of the source on which each line of that text begins.

    Blocks are separated by blank lines, and headings are marked as in Markdown. Broken HTML is read as browsers do.
    """
    reader = _HtmlReader()
    reader.feed(source)
    reader.close()
    reader.end_block()
    return " ".join("".join(reader.title).split()), "\n".join(reader.lines), reader.line_of


class _HtmlReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.lines: list[str] = []
        self.line_of: list[int] = []
        self._block: list[tuple[int, str]] = []
        self._hidden: list[str] = []
        self._in_title = False
        self._mark = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = tag == "title" or (self._in_title and tag != "body")
        if tag == "body":
            # Browsers end a head that its author forgot to end.
            self._hidden.clear()
        if tag in _HIDDEN:
            self._hidden.append(tag)
        if tag in _BLOCKS:
            self.end_block()
            self._mark = "#" * int(tag[1]) + " " if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit() else ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        if tag in _BLOCKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._hidden:
            first, _ = self.getpos()
            self._block.extend((first + number, line) for number, line in enumerate(data.split("\n")))

    def end_block(self) -> None:
        """Write the lines that were gathered, and a blank line after them."""
        rows: dict[int, list[str]] = {}
        for number, text in self._block:
            rows.setdefault(number, []).append(text)
        mark, self._mark, self._block = self._mark, "", []
        written = [(number, joined) for number, parts in rows.items() if (joined := " ".join("".join(parts).split()))]
        for number, text in written:
            self.lines.append(mark + text)
            self.line_of.append(number)
            mark = ""
        if written:
            self.lines.append("")
            self.line_of.append(written[-1][0])
