"""Keys -> a table, or a block of lines each on a narrow terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from rich.text import Text

from qwen3_reranker.cli.terminal import console_for, one_line, print_table
from qwen3_reranker.row_table import Column, RowTable, wrapped
from qwen3_reranker.serve.accounts.key_records import NANODOLLARS, KeyRecord

_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}


def write_keys(records: Sequence[KeyRecord], stream: TextIO) -> None:
    """Write the keys to a stream, as wide as the terminal or COLUMNS say."""
    console = console_for(stream)
    if not records:
        console.print("no keys yet")
        return
    heads = ["id", "state", *(head for head, _ in _rows(records[0]))]
    rows: list[list[str | Text]] = [
        [record.id, _state(record), *(cell for _, cell in _rows(record))] for record in records
    ]
    table = RowTable([Column(head) for head in heads], rows)
    if table.is_within(console.width):
        print_table(table, console)
        return
    for record in records:
        console.print(Text(record.id, style="bold"), _state(record))
        print_table(RowTable([Column(), Column(fit=wrapped)], _rows(record)), console, indent="  ", headed=False)


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
        ("this month", _budget(record)),
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
    return used if record.credit_left is None else f"{used}, {_left(record.credit_left)}"


def _budget(record: KeyRecord) -> str:
    if record.budget is None or record.budget_left is None:
        return "no budget"
    return f"{_left(record.budget_left)} of ${record.budget / NANODOLLARS:,.2f}"


def _left(nanodollars: int) -> str:
    return f"${abs(nanodollars) / NANODOLLARS:,.4f} {'left' if nanodollars >= 0 else 'overspent'}"


def _day(moment: int | None) -> str:
    return "never" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
