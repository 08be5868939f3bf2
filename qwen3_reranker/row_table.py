"""A table of rows -> lines for a terminal, Markdown, HTML, or tab-separated values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

GAP = "  "
# Terminal cells that a column keeps when it has to give way; where it has fewer, columns at the right are left out.
_NARROWEST = 12
_MARKDOWN_ESCAPES = str.maketrans({"|": "\\|", "\n": " "})
_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Column:
    """How the cells of a column are shown.

    right: align right, as numbers are. fit: makes lines of a text that is longer than so many terminal cells; None for
    a column that never gives way. width: terminal cells; None for those of its longest cell. style: rich's, of a cell.
    """

    head: str = ""
    right: bool = False
    fit: Callable[[str, int], list[str]] | None = None
    width: int | None = None
    style: str = ""


#: A last column with cells that may go on past the end of the line.
OPEN_ENDED = Column(width=0)


@dataclass(frozen=True, slots=True)
class RowTable:
    """Columns, and a row of cells for each line. A cell of a terminal may be a `rich.text.Text` with its own styles.

    A row may have fewer cells than there are columns; its last one may then be longer than its column is wide.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Text]]

    @property
    def heads(self) -> list[str]:
        """The first line of the table."""
        return [column.head for column in self.columns]

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        rules = ["---:" if column.right else "---" for column in self.columns]
        cells = [self.heads, rules, *([str(cell) for cell in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(cell.translate(_MARKDOWN_ESCAPES) for cell in row)} |" for row in cells)

    def html(self) -> str:
        """A <table>; cells of numbers have the class `number`."""

        def row(cells: Sequence[str | Text], tag: str) -> str:
            kinds = [' class="number"' if column.right else "" for column in self.columns]
            marked = (f"<{tag}{kind}>{escape(str(cell))}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
            return f"<tr>{''.join(marked)}</tr>"

        body = "".join(row(cells, "td") for cells in self.rows)
        return f"<table><thead>{row(self.heads, 'th')}</thead><tbody>{body}</tbody></table>"

    def tsv(self, shown: Callable[[str], str] = str) -> str:
        """A line of heads, then a line a row. A tab, a line's end and a backslash in a cell are escaped.

        shown: what is done to each cell after that.
        """
        rows = ((shown(str(cell).translate(_TSV_ESCAPES)) for cell in row) for row in (self.heads, *self.rows))
        return "".join("\t".join(row) + "\n" for row in rows)

    def is_within(self, width: int) -> bool:
        """Whether every cell is shown whole on a terminal of that many cells."""
        return sum(self._natural()) + len(GAP) * (len(self.columns) - 1) <= width

    def terminal(self, width: int, *, headed: bool = True) -> list[Text]:
        """Lines for a terminal of that many cells. headed: with a line of heads above them."""
        from rich.text import Text

        widths = self._widths(width)
        shown = self.columns[: len(widths)]
        lines = [line for row in self.rows for line in _lines(row, shown, widths)]
        if headed:
            heads = [Column(right=column.right, fit=_clipped) for column in shown]
            [line] = _lines(self.heads, heads, widths)
            lines.insert(0, Text(line.plain, style="dim"))
        return lines

    def _natural(self) -> list[int]:
        from rich.cells import cell_len

        def longest(number: int, column: Column) -> int:
            measured = [row[number] for row in self.rows if number < len(row) - (len(row) < len(self.columns))]
            return max(cell_len(str(cell)) for cell in (column.head, *measured))

        return [
            longest(number, column) if column.width is None else column.width
            for number, column in enumerate(self.columns)
        ]

    def _widths(self, width: int) -> list[int]:
        """Cells of each column. Those with `fit` give way first, then columns at the right are left out."""
        widths = self._natural()
        for last in range(len(widths), 1, -1):
            kept = widths[:last]
            spare = width - sum(kept) - len(GAP) * (last - 1)
            fitted = [place for place in range(last) if self.columns[place].fit and self.columns[place].width is None]
            room = spare + sum(kept[place] for place in fitted)
            if spare >= 0 or (fitted and room >= _NARROWEST * len(fitted)):
                return _levelled(kept, fitted, room) if spare < 0 else kept
        return widths[:1]


def _levelled(widths: list[int], fitted: Sequence[int], room: int) -> list[int]:
    """The widths where these columns share the room. The widest give way first."""
    level = max(widths[place] for place in fitted)
    while sum(min(widths[place], level) for place in fitted) > room:
        level -= 1
    return [min(each, level) if place in fitted else each for place, each in enumerate(widths)]


def _lines(row: Sequence[str | Text], columns: Sequence[Column], widths: Sequence[int]) -> list[Text]:
    """One row; a cell that was fitted into several lines goes on below."""
    from rich.cells import cell_len
    from rich.text import Text

    fitted = []
    for cell, column, width in zip(row, columns, widths, strict=False):
        goes_on = cell is row[-1] and len(row) < len(columns)
        if isinstance(cell, Text) or column.fit is None or goes_on or cell_len(cell) <= width:
            fitted.append([cell if isinstance(cell, Text) else Text(cell, style=column.style)])
        else:
            fitted.append([Text(each, style=column.style) for each in column.fit(cell, width)])
    lines = []
    for cells in zip_longest(*fitted, fillvalue=Text()):
        line = Text()
        for number, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=False)):
            line.append(GAP if number else "")
            blank = " " * max(0, width - cell.cell_len)
            line.append_text(Text.assemble(blank, cell) if column.right else Text.assemble(cell, blank))
        line.rstrip()
        lines.append(line)
    return lines


def cut_end(text: str, cells: int) -> list[str]:
    """A text without its end, so that it fits."""
    from rich.cells import set_cell_size

    return [f"{set_cell_size(text, cells - 1)}…"]


def _clipped(text: str, cells: int) -> list[str]:
    from rich.cells import set_cell_size

    return [set_cell_size(text, cells)]


def wrapped(text: str, cells: int) -> list[str]:
    """A text in lines that fit."""
    return wrap(text, cells, break_on_hyphens=False)
