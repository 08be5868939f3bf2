"""Keys -> a table for people that fits the terminal, however narrow."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qwen3_reranker.cli.terminal import coloured, one_line
from qwen3_reranker.serve.accounts.key_records import NANODOLLARS, KeyRecord

_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}
# Below this many cells a line holds what tells keys apart and nothing else; the rest follows below it.
_ROOM_FOR_ALL = 120


def write_keys(records: Sequence[KeyRecord], stream: TextIO) -> None:
    """Write the keys to a stream, as wide as the terminal or COLUMNS say."""
    console = Console(file=stream, color_system="auto" if coloured(stream) else None, highlight=False)
    if not records:
        console.print(Text("no keys yet"))
        return
    if console.width >= _ROOM_FOR_ALL:
        console.print(_table(records))
        return
    for record in records:
        console.print(Text(record.id, style="bold"), _state(record))
        for name, value in _rows(record):
            console.print(Text(f"  {name:<9} "), Text(value), sep="", overflow="fold")


def _table(records: Sequence[KeyRecord]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("id", "state"):
        table.add_column(head, no_wrap=True)
    for head, _ in _rows(records[0]):
        table.add_column(head, overflow="fold", no_wrap=head in ("key", "last used"))
    for record in records:
        table.add_row(Text(record.id), _state(record), *(Text(value) for _, value in _rows(record)))
    return table


def _state(record: KeyRecord) -> Text:
    state = record.state(time.time())
    return Text(state, style=_COLOURS[state])


def _rows(record: KeyRecord) -> list[tuple[str, str]]:
    return [
        ("name", one_line(record.name)),
        ("key", f"{record.shown}..."),
        ("may", _rights(record)),
        ("limits", _limits(record)),
        ("credit", _credit(record)),
        ("expires", _day(record.expires)),
        ("last used", _day(record.last_used)),
    ]


def _rights(record: KeyRecord) -> str:
    models = "" if record.models is None else f" with {', '.join(map(one_line, record.models))}"
    return ", ".join(record.scopes) + models


def _limits(record: KeyRecord) -> str:
    limits = record.limits
    numbers = ((limits.requests, "requests/min"), (limits.tokens, "tokens/min"), (limits.concurrency, "at once"))
    return ", ".join(f"{number:,} {what}" for number, what in numbers if number is not None) or "none"


def _credit(record: KeyRecord) -> str:
    used = f"${record.credit_used / NANODOLLARS:,.4f} used"
    return used if record.credit_left is None else f"{used}, ${record.credit_left / NANODOLLARS:,.4f} left"


def _day(moment: int | None) -> str:
    return "never" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
