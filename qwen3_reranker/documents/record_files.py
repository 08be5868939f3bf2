"""JSON lines, a JSON array, CSV or TSV -> records, each with its source."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.errors import InputError

#: What one entry of a file holds: an object with fields, or a text that is all there is.
Entry = tuple[str, Mapping[str, Any] | str]

# What separates the columns of a file called CSV: some countries' spreadsheets write the others.
_SEPARATORS = (",", ";", "\t")
#: What the csv module may read as one cell.
LONGEST_CELL = 2**31 - 1


class NoRecordsError(InputError):
    """The file is not a list of records at all. It may still be one text."""


def json_lines(text: str, name: str, _field: str) -> Iterator[Entry]:
    """The object on each line; raises InputError for a line that is none. Sources are `name:line`."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            source = f"{name}:{number}"
            value = _parsed(line, source)
            if not isinstance(value, dict):
                raise InputError(f"{source}: expected a JSON object, got {kind(value)}")
            yield source, value


def json_array(text: str, name: str, field: str) -> Iterator[Entry]:
    """The objects and strings of an array, as `name[0]`, the one object with the field, or JSON lines.

    Raises NoRecordsError for anything else.
    """
    try:
        values = _parsed(text, name)
    except InputError as error:
        if not looks_like_json_lines(text):
            raise NoRecordsError(str(error)) from None
        yield from json_lines(text, name, field)
        return
    if isinstance(values, dict) and field in values:
        yield name, values
        return
    if not isinstance(values, list):
        raise NoRecordsError(f"{name}: expected an array of objects or strings, got {kind(values)}")
    for index, value in enumerate(values):
        if not isinstance(value, dict | str):
            raise NoRecordsError(f"{name}[{index}]: expected an object or a string, got {kind(value)}")
    yield from ((f"{name}[{index}]", value) for index, value in enumerate(values))


def comma_separated(text: str, name: str, field: str) -> Iterator[Entry]:
    """The rows below a header, as `name:line`. The separator is the first of , ; and tab that separates the field."""
    header = text.lstrip("\n").partition("\n")[0]
    parted = {separator: next(csv.reader([header], delimiter=separator), []) for separator in _SEPARATORS}
    known = [separator for separator, columns in parted.items() if field in map(str.strip, columns)]
    yield from _rows(text, name, field, known[0] if known else max(parted, key=lambda each: len(parted[each])))


def tab_separated(text: str, name: str, field: str) -> Iterator[Entry]:
    """The rows below a header, as `name:line`. Quotes are letters unless they quote whole cells."""
    try:
        rows = list(_rows(text, name, field, "\t"))
    except InputError:
        rows = list(_rows(text, name, field, "\t", quoted=False))
    yield from rows


READERS: dict[str, Callable[[str, str, str], Iterator[Entry]]] = {
    "jsonl": json_lines,
    "json": json_array,
    "csv": comma_separated,
    "tsv": tab_separated,
}


def text_of(entry: Mapping[str, Any] | str, source: str, field: str) -> str:
    """The text of an entry. Raises InputError where the field is missing, no string or no Unicode."""
    text = entry if isinstance(entry, str) else _field(entry, source, field, "--field")
    if not isinstance(text, str):
        raise InputError(f"{source}: the field {field!r} must be a string, got {kind(text)}")
    if (index := lone_surrogate(text)) is not None:
        raise InputError(f"{source}: not valid Unicode: the lone surrogate {text[index]!r}")
    return text


def id_of(record: Mapping[str, Any], source: str, id_field: str | None) -> str | int | None:
    """What names a record: the field `id_field`, or else its id or _id, if text or a number."""
    if id_field is None:
        return next((record[name] for name in ("id", "_id") if _is_name(record.get(name))), None)
    value: str | int = _field(record, source, id_field, "--id-field")
    if not _is_name(value):
        raise InputError(f"{source}: the field {id_field!r} must be a string or a whole number, got {kind(value)}")
    return value


def looks_like_json_lines(text: str) -> bool:
    """Whether each of the first five lines that are not blank is a JSON object."""
    found = start = 0
    while found < 5 and start < len(text):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else len(text)].strip()
        start = end + 1 if end >= 0 else len(text)
        if not line:
            continue
        try:
            if not (line.startswith("{") and isinstance(json.loads(line), dict)):
                return False
        except (ValueError, RecursionError):
            return False
        found += 1
    return found > 0


def suggested_format(text: str, field: str) -> str | None:
    """The format of records that this text is probably in, or None for plain text."""
    if looks_like_json_lines(text):
        return "jsonl"
    beginning = text.lstrip()
    if beginning.startswith("["):
        try:
            next(json_array(text, "", field), None)
        except InputError:
            return None
        return "json"
    header, _, rest = beginning.partition("\n")
    if rest.strip():
        for form, separator in (("csv", ","), ("tsv", "\t")):
            columns = [column.strip().strip('"') for column in header.split(separator)]
            if len(columns) > 1 and field in columns:
                return form
    return None


def column_names(header: list[str]) -> list[str]:
    """Names of the columns. Those that have none, or one that is taken, are named by their number."""
    names: list[str] = []
    for number, cell in enumerate(header, start=1):
        named = cell.strip()
        names.append(named if named and named not in names else f"column {number}")
    return names


def wrong_columns(source: str, expected: int, found: int, separator: str) -> InputError:
    """An error for a row that has not the columns of the header."""
    mark = "a tab" if separator == "\t" else repr(separator)
    return InputError(
        f"{source}: expected the {expected} columns of the header, got {found}; "
        f"a text that holds {mark} must be in quotes"
    )


def kind(value: object) -> str:
    """What a value of JSON is, for a message."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), "a number")


def _rows(text: str, name: str, field: str, separator: str, quoted: bool = True) -> Iterator[Entry]:
    csv.field_size_limit(LONGEST_CELL)
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    columns: list[str] | None = None
    line = 1
    try:
        for cells in lines:
            source, line = f"{name}:{line}", lines.line_num + 1
            if not cells:
                continue
            if columns is None:
                columns = _columns(cells, source, field)
                continue
            if separator == "\t" and any("\n" in cell and "\t" in cell for cell in cells):
                raise InputError(f"{source}: a quote opens here that is none, as whole rows follow it")
            if len(cells) > len(columns):
                raise wrong_columns(source, len(columns), len(cells), separator)
            yield source, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise InputError(f"{name}:{line}: not valid CSV: {error}") from None


def _columns(cells: list[str], source: str, field: str) -> list[str]:
    names = column_names(cells)
    if len(names) == 1 and field not in names:
        raise NoRecordsError(f"{source}: one column, and it is not called {field!r}; choose one with --field")
    if field not in names:
        known = ", ".join(map(repr, names))
        raise InputError(
            f"{source}: the header has no column {field!r} (its columns: {known:.200}); choose one with --field, or "
            "read lines with --input-format lines"
        )
    return names


def _parsed(text: str, source: str) -> object:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        raise InputError(f"{source}: not valid JSON: {error.msg} ({line}column {error.colno})") from None
    except (ValueError, RecursionError):
        raise InputError(f"{source}: not valid JSON: nested too deeply, or a number with too many digits") from None
    return value


def _field(record: Mapping[str, Any], source: str, name: str, flag: str) -> Any:
    if name not in record:
        known = ", ".join(map(repr, record)) or "none"
        raise InputError(f"{source}: no field {name!r} (its fields: {known:.200}); choose one with {flag}")
    return record[name]


def _is_name(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
