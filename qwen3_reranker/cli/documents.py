"""What the caller names (files, folders, standard input) -> documents, each with the place it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.cli.folder import Skipped, files_below
from qwen3_reranker.cli.passages import passages
from qwen3_reranker.cli.reading_notes import ReadingNotes
from qwen3_reranker.cli.record_files import READERS, NoRecordsError, id_of, text_of
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.text_files import STDIN, read_text
from qwen3_reranker.errors import InputError

_RECORDS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "tsv": "tsv"}
_MARKUP = "md markdown rst adoc org tex html htm xhtml xml"
_SOURCE_CODE = (
    "py pyi ipynb js mjs cjs jsx ts tsx java kt kts scala c h cc cpp cxx hh hpp cu cs go rs rb php pl pm lua swift m "
    "mm r jl hs ml ex exs clj sh bash zsh fish ps1 bat sql css scss vue yaml yml toml ini cfg proto cmake gradle tf"
)
# A line of these says little by itself.
_WHOLE = frozenset((*_MARKUP.split(), *_SOURCE_CODE.split()))


@dataclass(frozen=True, slots=True)
class Document:
    """A text to judge and its source: `path`, `path:line`, `path:first-last`, or `path[index]` in a JSON array.

    record: the object or row that held the text, and id: what it names itself; None where there is none.
    """

    text: str
    source: str
    record: Mapping[str, Any] | None = None
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read.

    input_format: "lines", "jsonl", "json", "csv", "tsv" or "whole", or "auto" to tell by suffix. field: that of a
    record with its text. id_field: that with what names it, None for id or _id where there is one. glob: which files of
    a folder. chunk_words: split into passages of at most that many words; None leaves texts whole.
    """

    input_format: str = "auto"
    field: str = "text"
    id_field: str | None = None
    glob: str | None = None
    chunk_words: int | None = None


def read_documents(places: Sequence[str], reading: Reading) -> list[Document]:
    """The documents of all places, in the order given; those of a folder by path.

    Raises InputError naming the file, and the line, that cannot be read. What is not text in a folder is left out;
    that, and what was read in a way that may surprise, is told in notes on stderr.
    """
    if places.count(STDIN) > 1:
        raise InputError("standard input (-) can be read only once")
    skipped, notes = Skipped(), ReadingNotes(reading.field)
    documents: list[Document] = []
    for place in places:
        if os.path.isdir(place):
            for path, text in files_below(place, reading.glob, skipped):
                documents.extend(_documents(text, path, reading, notes, in_folder=True))
        else:
            name = "stdin" if place == STDIN else place
            documents.extend(_documents(read_text(place), name, reading, notes, in_folder=False))
    if reading.id_field is not None and documents and not any(each.record is not None for each in documents):
        raise InputError(f"--id-field {reading.id_field}: nothing that was named holds records, which have fields")
    if skipped.reasons:
        note(f"left out: {skipped}")
    for line in notes.lines():
        note(line)
    return documents


def _documents(text: str, name: str, reading: Reading, notes: ReadingNotes, *, in_folder: bool) -> list[Document]:
    form = reading.input_format
    if form != "auto":
        return list(_in_form(form, text, name, reading))
    suffix = os.path.splitext(name)[1].lower().removeprefix(".")
    if form := _RECORDS.get(suffix, ""):
        try:
            return list(_in_form(form, text, name, reading))
        except InputError as error:
            # A folder holds what it holds; what was named by itself was meant to be read as what it is called.
            if not in_folder and not isinstance(error, NoRecordsError):
                raise
            lines = form in ("csv", "tsv") and not in_folder and reading.chunk_words is None
            notes.no_records("a document a line" if lines else "one document", str(error))
        return list(_in_form("lines" if lines else "whole", text, name, reading))
    form = "whole" if in_folder or suffix in _WHOLE or reading.chunk_words else "lines"
    documents = list(_in_form(form, text, name, reading))
    if suffix not in _WHOLE:
        notes.plain(text, name)
    if form == "lines" and name != "stdin":
        notes.by_line(text, name, len(documents))
    return documents


def _in_form(form: str, text: str, name: str, reading: Reading) -> Iterator[Document]:
    if form == "whole":
        yield from _whole(text, name, reading.chunk_words)
    elif form == "lines":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                # A passage of one line of input is still found at that line.
                yield from (Document(part, f"{name}:{number}") for part in _parts(line, reading.chunk_words))
    else:
        yield from _records(form, text, name, reading)


def _records(form: str, text: str, name: str, reading: Reading) -> Iterator[Document]:
    for source, entry in READERS[form](text, name, reading.field):
        document = text_of(entry, source, reading.field)
        if isinstance(entry, str):
            yield from (Document(part, source) for part in _parts(document, reading.chunk_words))
            continue
        named = id_of(entry, source, reading.id_field)
        if reading.chunk_words is not None:
            # Else every passage would bring the whole text along.
            entry = {key: value for key, value in entry.items() if key != reading.field}
        yield from (Document(part, source, entry, named) for part in _parts(document, reading.chunk_words))


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
