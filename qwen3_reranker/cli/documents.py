"""What the caller names (files, folders, standard input) -> documents, each with the place it came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qwen3_reranker.cli.folder import Skipped, files_below
from qwen3_reranker.cli.passages import passages
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.text_files import STDIN, read_text
from qwen3_reranker.errors import InputError

_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_WHOLE_SUFFIXES = (".md", ".markdown", ".rst")


@dataclass(frozen=True, slots=True)
class Document:
    """A text to judge and its source: `path`, `path:line` or `path:first-last`."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read.

    input_format: "lines", "jsonl" or "whole", or "auto" to tell by suffix. field: that of a JSON object with its text.
    glob: which files of a folder. chunk_words: split into passages of at most that many words; None leaves texts whole.
    """

    input_format: str = "auto"
    field: str = "text"
    glob: str | None = None
    chunk_words: int | None = None


def read_documents(places: Sequence[str], reading: Reading) -> list[Document]:
    """The documents of all places, in the order given; those of a folder by path.

    Raises InputError naming the file, and the line, that cannot be read. What is not text in a folder is left out, with
    a note on stderr.
    """
    if places.count(STDIN) > 1:
        raise InputError("standard input (-) can be read only once")
    skipped = Skipped()
    documents: list[Document] = []
    for place in places:
        for name, text in _texts(place, reading, skipped):
            documents.extend(_documents(text, name, _format_of(place, reading), reading))
    if skipped.reasons:
        note(f"left out {skipped}")
    return documents


def _texts(place: str, reading: Reading, skipped: Skipped) -> Iterator[tuple[str, str]]:
    if os.path.isdir(place):
        yield from files_below(place, reading.glob, skipped)
    else:
        yield "stdin" if place == STDIN else place, read_text(place)


def _format_of(place: str, reading: Reading) -> str:
    if reading.input_format != "auto":
        return reading.input_format
    suffix = os.path.splitext(place)[1].lower()
    if os.path.isdir(place) or suffix in _WHOLE_SUFFIXES:
        return "whole"
    if suffix in _JSONL_SUFFIXES:
        return "jsonl"
    return "whole" if reading.chunk_words else "lines"


def _documents(text: str, name: str, form: str, reading: Reading) -> Iterator[Document]:
    if form == "whole":
        yield from _whole(text, name, reading.chunk_words)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            source = f"{name}:{number}"
            document = line if form == "lines" else _json_text(line, source, reading.field)
            # A passage of one line of input is still found at that line.
            yield from (Document(part, source) for part in _parts(document, reading.chunk_words))


def _whole(text: str, name: str, chunk_words: int | None) -> Iterator[Document]:
    if chunk_words is None:
        if text.strip():
            yield Document(text.strip("\n"), name)
        return
    for passage in passages(text, chunk_words):
        first, last = passage.first_line, passage.last_line
        yield Document(passage.text, f"{name}:{first}" if first == last else f"{name}:{first}-{last}")


def _parts(text: str, chunk_words: int | None) -> list[str]:
    if chunk_words is None:
        return [text]
    return [passage.text for passage in passages(text, chunk_words)] or [text]


def _json_text(line: str, source: str, field: str) -> str:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}: not valid JSON: {error.msg} (column {error.colno})") from None
    except (ValueError, RecursionError):
        raise InputError(f"{source}: not valid JSON: nested too deeply, or a number with too many digits") from None
    if not isinstance(value, dict):
        raise InputError(f"{source}: expected a JSON object, got {_kind(value)}")
    if field not in value:
        known = ", ".join(map(repr, value)) or "none"
        raise InputError(f"{source}: no field {field!r} (its fields: {known:.200}); choose one with --field")
    text: object = value[field]
    if not isinstance(text, str):
        raise InputError(f"{source}: the field {field!r} must be a string, got {_kind(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{source}: not valid Unicode: the lone surrogate {text[error.start]!r}") from None
    return text


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return kinds.get(type(value), "a number")
