"""The result of `evaluate` -> tables as wide as the terminal."""

from __future__ import annotations

import textwrap
from typing import TextIO

from rich.text import Text

from qwen3_reranker.cli.terminal import console_for, one_line, print_line, print_table
from qwen3_reranker.evaluate.report import DEPTHS, LANGUAGES, SETS, sections, tie_remarks, tuning_remark, verdict
from qwen3_reranker.evaluate.summary import Summary
from qwen3_reranker.evaluate.tuning import Tuning


def write_summary(summary: Summary, stream: TextIO, tuning: Tuning | None = None) -> None:
    """Write the tables to a stream, as wide as the terminal or COLUMNS say."""
    console = console_for(stream)
    shown = [each for each in sections(summary, tuning) if each.title not in (LANGUAGES, DEPTHS)]
    for section in shown:
        if section.title != SETS or len(summary.sets) > 1:
            print_line(console, Text(section.title, style="bold"))
            print_table(section.table, console)
            console.print()
    found = [verdict(summary)] if tuning is None else [tuning_remark(tuning), tuning.verdict]
    notes = [*found, *tie_remarks(summary)]
    if summary.missing:
        notes.append(f"Missing from runs, counted as 0: {sum(map(len, summary.missing.values())):,} queries.")
    for text in notes:
        for line in textwrap.wrap(one_line(text), console.width, break_on_hyphens=False):
            print_line(console, line)
