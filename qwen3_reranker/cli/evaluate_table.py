"""What `evaluate` found -> tables as wide as the terminal: systems, sets, and what is more than chance."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from qwen3_reranker.cli.terminal import coloured, one_line
from qwen3_reranker.evaluate.report import (
    comparison_rows,
    set_rows,
    system_rows,
    tie_remarks,
    tuning_remark,
    tuning_rows,
    verdict,
)
from qwen3_reranker.evaluate.summary import Summary
from qwen3_reranker.evaluate.tuning import Tuning

_GAP = "  "
_NARROWEST_NAME = 12
# What may be shortened, and what may be left out, from the right, where a terminal is narrow.
_NAMES = ("system", "minus", "set")


def write_table(summary: Summary, stream: TextIO, tuning: Tuning | None = None) -> None:
    """Write the tables to a stream, as wide as the terminal or COLUMNS say."""
    console = Console(file=stream, color_system="auto" if coloured(stream) else None, highlight=False)

    def show(title: str, rows: Sequence[Sequence[str]]) -> None:
        console.print(Text(title, style="bold"))
        for line in _lines(rows, console.width):
            console.print(line, no_wrap=True, crop=True)
        console.print()

    if tuning is not None:
        show("Instructions", tuning_rows(tuning))
    show(f"Mean {summary.headline_name}", system_rows(summary))
    if len(summary.sets) > 1:
        show("Sets", set_rows(summary))
    if summary.comparisons:
        show("Differences", comparison_rows(summary))
    found = [verdict(summary)] if tuning is None else [tuning_remark(tuning), tuning.verdict]
    notes = [*found, *tie_remarks(summary)]
    if summary.missing:
        notes.append(f"Missing from runs, counted as 0: {sum(map(len, summary.missing.values())):,} queries.")
    for text in notes:
        for line in textwrap.wrap(one_line(text), console.width, break_on_hyphens=False):
            console.print(Text(line))


def _lines(rows: Sequence[Sequence[str]], width: int) -> Iterator[Text]:
    columns = list(zip(*([one_line(cell) for cell in row] for row in rows), strict=True))
    widths = _widths(columns, width)
    for number in range(len(rows)):
        line = Text(style="dim" if number == 0 else "")
        for place, (column, cells) in enumerate(zip(columns, widths, strict=True)):
            if not cells:
                continue
            name = column[0] in _NAMES
            cell = _shortened(column[number], cells) if name else column[number]
            line.append(_GAP if place and line.plain else "")
            line.append(set_cell_size(cell, cells) if name else cell.rjust(cells))
        line.rstrip()
        yield line


def _widths(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Cells of each column: names give way first, then columns at the right are left out (0)."""
    widths = [max(map(cell_len, column)) for column in columns]
    names = [place for place, column in enumerate(columns) if column[0] in _NAMES]
    for last in range(len(columns), 1, -1):
        kept = [*widths[:last], *([0] * (len(columns) - last))]
        spare = width - sum(kept) - len(_GAP) * (sum(1 for each in kept if each) - 1)
        if spare >= 0:
            return kept
        room = sum(kept[place] for place in names) + spare
        if names and room >= _NARROWEST_NAME * sum(1 for place in names if kept[place]):
            share = room // sum(1 for place in names if kept[place])
            return [min(each, share) if place in names else each for place, each in enumerate(kept)]
    return widths


def _shortened(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else f"{set_cell_size(text, cells - 1)}…"
