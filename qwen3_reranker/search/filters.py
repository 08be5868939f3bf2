"""Filters: which documents a search may find -> a condition in SQL."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3_reranker.errors import InputError

_FIELD = re.compile(r"[A-Za-z_][\w .-]*")


@dataclass(frozen=True, slots=True)
class Condition:
    """What follows a condition in SQL, empty if all is allowed, and its parameters."""

    sql: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which documents a search may find; None allows all.

    path: a pattern such as "docs/*.md" for paths; * also matches /. collections: their names. after, before: dates as
    2026-11-30, compared with `date` in the front matter or record, else with the time of the file's last change.
    fields: names and values of front matter or records, all of which must be there; in a list one must be equal.
    """

    path: str | None = None
    collections: Sequence[str] | None = None
    after: str | None = None
    before: str | None = None
    fields: tuple[tuple[str, str], ...] = ()

    def sql(self) -> Condition:
        """The condition on files, documents and collections.

        Raises InputError for what is no date or no name of a field.
        """
        conditions: list[str] = []
        values: list[object] = []
        if self.path is not None:
            conditions.append("files.path GLOB ?")
            values.append(self.path)
        if self.collections is not None:
            conditions.append(f"collections.name IN ({','.join('?' * len(self.collections))})")
            values.extend(self.collections)
        for date, comparison in ((self.after, ">="), (self.before, "<")):
            if date is not None:
                conditions.append(f"{DATE} {comparison} ?")
                values.append(checked_date(date))
        for name, value in self.fields:
            at = f'$."{checked_field(name)}"'
            # json_each gives the items of a list, and a single value as its only row.
            conditions.append(
                "EXISTS (SELECT 1 FROM json_each(documents.fields, ?) AS item WHERE CAST(item.value AS TEXT) = ?)"
            )
            values.extend((at, value))
        return Condition("".join(f" AND {each}" for each in conditions), tuple(values))


#: The date of a document, in SQL.
DATE = "COALESCE(date(json_extract(documents.fields, '$.date')), date(files.mtime_ns / 1000000000, 'unixepoch'))"


def checked_field(name: str) -> str:
    """The name of a field. Raises InputError for what is none."""
    if not _FIELD.fullmatch(name):
        raise InputError(f"the filter {name!r} is no name of a field")
    return name


def checked_date(written: str) -> str:
    """A date as 2026-11-30. Raises InputError for what is none."""
    try:
        return datetime.date.fromisoformat(written).isoformat()
    except ValueError:
        raise InputError(f"{written!r} is no date; write it as 2026-11-30") from None
