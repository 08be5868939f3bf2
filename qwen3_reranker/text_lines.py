"""Files of lines, also .xz -> texts, JSON objects or columns, with "file:line"."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import ENOUGH, not_utf8, refuse_other_kinds


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """("file:line", text) of each line that is not blank; raises InputError."""
    try:
        with cast(BufferedReader, lzma.open(path) if path.suffix == ".xz" else path.open("rb")) as lines:
            refuse_other_kinds(lines.peek(ENOUGH)[:ENOUGH], str(path))
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    location = f"{path}:{number}"
                    yield location, _text(line, location, "utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path}: not a whole xz file ({error}); pack it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _text(line: bytes, location: str, encoding: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError as error:
        raise not_utf8(line, error.start, location) from None


def objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("file:line", JSON object) of each line; raises InputError for other lines."""
    for location, line in text_lines(path):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{location}: not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise InputError(f"{location}: expected a JSON object, got {type(value).__name__}")
        yield location, value


def columns(
    path: Path, count: tuple[int, ...], meaning: str, separator: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """("file:line", columns) of each line; raises InputError unless their number is in `count`."""
    for location, line in text_lines(path):
        parts = line.split(separator)
        if len(parts) not in count:
            raise InputError(f"{location}: expected {meaning}, got {len(parts)} columns")
        yield location, parts


def string(fields: dict[str, Any], names: tuple[str, ...], location: str) -> str:
    """The first existing field of `names` as text, also of an integer. Raises InputError for others."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise InputError(f"{location}: the field {name!r} must be a string, got {type(value).__name__}")
    raise InputError(f"{location}: expected the field {names[0]!r}, got {', '.join(map(repr, fields)) or 'none'}")


def whole_number(text: str, location: str, name: str) -> int:
    """The whole number in a text; raises InputError for others."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value.is_integer() or abs(value) > 1e9:
        raise InputError(f"{location}: expected a whole number as {name}, got {text!r}")
    return int(value)
