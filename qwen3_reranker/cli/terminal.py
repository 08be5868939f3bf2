"""Text and tables for a terminal: control characters visible, colour only where wanted."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from qwen3_reranker.row_table import RowTable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# C0 and C1 controls, marks and overrides of text direction, line and paragraph separators, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with everything that could steer a terminal written as `\\x1b` or `\\u202e`."""
    return _UNSAFE.sub(_escaped, text)


def one_line(text: str) -> str:
    """The text on one line. Runs of blanks become one space, other control characters become visible."""
    return visible(" ".join(text.split()))


def on_terminal(stream: TextIO | None) -> bool:
    """Whether this stream is a terminal; one that was closed before we started is None."""
    return stream is not None and stream.isatty()


def coloured(stream: TextIO | None) -> bool:
    """Whether to colour text for this stream. It must be a terminal, and NO_COLOR (no-color.org) unset or empty."""
    return on_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complain(message: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    _say("error", "1;31", message)


def note(message: str) -> None:
    """Say on stderr, in one line, what the reader should know although nothing went wrong."""
    _say("note", "1;33", message)


def console_for(stream: TextIO) -> Console:
    """What prints coloured lines to a stream, as wide as the terminal or COLUMNS say."""
    from rich.console import Console

    return Console(file=stream, color_system="auto" if coloured(stream) else None, highlight=False)


def print_table(table: RowTable, console: Console, *, indent: str = "", headed: bool = True) -> None:
    """Print a table as wide as the terminal; control characters in its cells become visible."""
    rows = [[one_line(cell) if isinstance(cell, str) else cell for cell in row] for row in table.rows]
    for line in RowTable(table.columns, rows).terminal(console.width - len(indent), headed=headed):
        print_line(console, indent, line)


def print_line(console: Console, *parts: str | Text) -> None:
    """Print one line, however long it is."""
    from rich.text import Text

    console.print(Text.assemble(*parts), no_wrap=True, crop=False, overflow="ignore")


def _say(kind: str, colour: str, message: str) -> None:
    label = f"\x1b[{colour}m{kind}:\x1b[0m" if coloured(sys.stderr) else f"{kind}:"
    print(label, visible(message), file=sys.stderr)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def filled(parts: list[str], width: int) -> list[str]:
    """The parts joined by dots, as many on a line as fit."""
    from rich.cells import cell_len

    lines = parts[:1]
    for part in parts[1:]:
        joined = f"{lines[-1]} · {part}"
        if cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines
