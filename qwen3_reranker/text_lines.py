"""Files of lines, also .xz -> texts, JSON objects or columns, with "file:line"."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import ENOUGH, not_utf8, refuse_other_kinds
from qwen3_reranker.storage_urls import is_url, open_url


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """("file:line", text) of each line that is not blank; raises InputError."""
    with open_lines(path) as file:
        yield from ((location, line) for location, line in decoded_lines(file, str(path)) if line.strip())


def open_lines(path: str | Path) -> BinaryIO:
    """The file or URL, unpacked if its name ends in .xz. Raises InputError if it cannot be opened.

    Raises UnavailableError for a URL whose package is missing.
    """
    try:
        file = open_url(path) if is_url(path) else None
        if str(path).endswith(".xz"):
            return cast(BinaryIO, lzma.open(file or path))
        return file or open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def decoded_lines(file: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """("name:line", text) of each line without its end; raises InputError for what is no UTF-8 text."""
    number = 0
    try:
        for number, line in enumerate(_of_text(file, name), start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise not_utf8(line, error.start, f"{name}:{number}") from None
            yield f"{name}:{number}", text.rstrip("\r\n")
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{name}: not a whole xz file ({error}); pack it again") from None
    except OSError as error:
        raise InputError(f"{name}:{number + 1}: cannot be read ({error.strerror or error})") from None


def _of_text(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a file whose beginning is that of text."""
    if hasattr(file, "peek"):
        refuse_other_kinds(file.peek(ENOUGH)[:ENOUGH], name)
    yield from file


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
