"""The rows of LanceStore: a prepared file -> one row a passage, with all that filters and searches compare.

A file is rows of one table, so that one commit replaces it. Its first row also holds its stamp; a file without passages
has that row alone, without a text. Numbers are hashes of what they name, so that a row keeps its number.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from qwen3_reranker.search.filters import DATE, Filters, checked_date, checked_field
from qwen3_reranker.search.prepared_file import PreparedFile
from qwen3_reranker.search.words import paired_characters

_NUMBERS = ("passage", "document", "file", "size", "mtime_ns", "ctime_ns", "first_line", "last_line")
_TEXTS = ("collection", "path", "reading", "name", "title", "fields", "part", "headings", "text", "body", "context")
SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in _NUMBERS),
        *((name, pa.string()) for name in (*_TEXTS, "characters", "date")),
        ("sha256", pa.binary()),
        ("facets", pa.list_(pa.string())),
    ]
)
STAMP = ("size", "mtime_ns", "ctime_ns", "reading")
#: The first rows of files.
IS_FIRST = "size IS NOT NULL"

# What filters compare is computed by the SQL of the local store, so that both mean the same.
_READ_DATE = f"SELECT {DATE} FROM (SELECT ? AS fields) AS documents, (SELECT ? AS mtime_ns) AS files"
_READ_FACETS = (
    "SELECT field.key || '=' || CAST(item.value AS TEXT) FROM json_each(?1) AS field, "
    "json_each(?1, '$.\"' || field.key || '\"') AS item "
    # No filter can name such a field, and its facet could be that of another.
    "WHERE item.value IS NOT NULL AND instr(field.key, '\"') = 0 AND instr(field.key, '=') = 0"
)


def number_of(*parts: str | int) -> int:
    """63 bits that stand for what the parts name."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


class FileRows:
    """Makes the rows of files."""

    def __init__(self) -> None:
        self._sql = sqlite3.connect(":memory:", check_same_thread=False)

    def of(self, collection: str, file: PreparedFile) -> list[dict[str, Any]]:
        """The rows of a file, at least one."""
        rows = list(self._passages(collection, file)) or [
            {"passage": number_of(collection, file.path, 0, 0), "document": number_of(collection, file.path, 0)}
        ]
        rows[0] |= {name: getattr(file.stamp, name) for name in STAMP} | {"sha256": file.sha256}
        number = number_of(collection, file.path)
        return [{"collection": collection, "path": file.path, "file": number, **row} for row in rows]

    def _passages(self, collection: str, file: PreparedFile) -> Iterator[dict[str, Any]]:
        for place, document in enumerate(file.documents):
            [date] = self._sql.execute(_READ_DATE, (document.fields, file.stamp.mtime_ns)).fetchone()
            facets = [facet for [facet] in self._sql.execute(_READ_FACETS, (document.fields,))]
            for number, row in enumerate(document.passages):
                yield {
                    "passage": number_of(collection, file.path, place, number),
                    "document": number_of(collection, file.path, place),
                    "name": document.name,
                    "title": document.title,
                    "fields": document.fields,
                    **row._asdict(),
                    "characters": " ".join(paired_characters(f"{row.text}\n{row.context}")),
                    "date": date,
                    "facets": facets,
                }


def condition(filters: Filters) -> str:
    """Filters as a condition on rows, empty if all are allowed. Raises InputError as `Filters.sql` does."""
    conditions: list[str] = []
    if filters.path is not None:
        conditions.append(f"regexp_like(path, {quoted(_pattern(filters.path))})")
    if filters.collections is not None:
        names = ", ".join(map(quoted, filters.collections))
        conditions.append(f"collection IN ({names})" if names else "false")
    for date, comparison in ((filters.after, ">="), (filters.before, "<")):
        if date is not None:
            conditions.append(f"date {comparison} {quoted(checked_date(date))}")
    conditions += [f"array_has(facets, {quoted(f'{checked_field(name)}={value}')})" for name, value in filters.fields]
    return " AND ".join(conditions)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _pattern(glob: str) -> str:
    """A GLOB of SQLite as a regular expression; a bracket that nothing closes matches nothing."""
    parts = re.findall(r"\*|\?|\[\^?+\]?+[^\]]*\]|.", glob, re.DOTALL)
    made = {"*": ".*", "?": ".", "[": r"[^\s\S]"}
    made |= {part: _class(part) for part in parts if len(part) > 1}
    return f"(?s)^{''.join(made.get(part) or re.escape(part) for part in parts)}$"


def _class(part: str) -> str:
    """Characters in brackets. `z-a` is z alone, and a `]` that comes first begins no range."""
    inverted = part[1] == "^"
    made = ""
    for first, last, one in re.findall(r"(?s)(?!^\])(.)-(.)|(.)", part[1 + inverted : -1]):
        made += f"\\x{{{ord(first or one):X}}}"
        if first and first < last:
            made += f"-\\x{{{ord(last):X}}}"
    return f"[{'^' * inverted}{made}]"
