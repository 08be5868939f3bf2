"""Files, folders and standard input -> documents, each with its source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from qwen3_reranker.cli.reading_notes import ReadingNotes
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.text_files import STDIN, read_bytes
from qwen3_reranker.documents.extracted_text import ExtractedText, extracted_passages
from qwen3_reranker.documents.folder import SkippedFiles, files_below
from qwen3_reranker.documents.kinds import MARKUP, RECORDS, SOURCE_CODE, document_kind, ending
from qwen3_reranker.documents.passages import passages
from qwen3_reranker.documents.record_files import READERS, Entry, NoRecordsError, id_of, text_of
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.file_text import decoded
from qwen3_reranker.option_fields import option
from qwen3_reranker.parquet import ParquetRows

# A line of these says little by itself.
_WHOLE = MARKUP | SOURCE_CODE


@dataclass(frozen=True, slots=True)
class Document:
    """A text to judge and its source: `path`, `path:line`, `path:first-last`, or `path[index]` in a JSON array.

    record: the object or row that held the text, and id: what it names itself; None where there is none.
    """

    text: str
    source: str
    record: Mapping[str, Any] | None = None
    id: str | int | None = None


INPUT_FORMATS = ("auto", "lines", "jsonl", "json", "csv", "tsv", "whole")
_PASSAGE_WORDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions:
    """How files are read into documents."""

    group: ClassVar[str] = "Documents"
    input_format: str = option(
        "auto",
        "Read all files in the same way. lines: one document a line. jsonl, json, csv, tsv: records of JSON lines, of "
        "a JSON array, or of a table with a header. whole: one document a file.",
        choices=INPUT_FORMATS,
        shown="auto, as above",
    )
    field: str = option("text", "The field or column of a record that holds its text.", unit="NAME")
    id_field: str | None = option(
        None, "The field or column that holds its id.", unit="NAME", shown="id or _id, where there is one"
    )
    glob: str | None = option(
        None,
        "In folders, read only files with a name that matches; a PATTERN with a / is compared with paths.",
        unit="PATTERN",
    )
    chunk: bool = option(False, "Split long files into passages, at headings and blank lines; sources then name lines.")
    chunk_words: int | None = option(
        None, "The same, with at most N words in a passage.", unit="N", shown=f"{_PASSAGE_WORDS}", least=1
    )

    @property
    def passage_words(self) -> int | None:
        """Words that a passage holds at most; None leaves texts whole."""
        return self.chunk_words or (_PASSAGE_WORDS if self.chunk else None)


def read_documents(places: Sequence[str], options: DocumentOptions) -> list[Document]:
    """The documents of all places, in the order given; those of a folder by path.

    Raises InputError naming the file, and the line, that cannot be read. What is not text in a folder is left out;
    notes on stderr say so, and name files that were read in a way that may surprise.
    """
    if places.count(STDIN) > 1:
        raise InputError("standard input (-) can be read only once")
    skipped, notes = SkippedFiles(), ReadingNotes(options.field)
    documents: list[Document] = []
    with TextExtractor() as extractor:
        for place in places:
            if os.path.isdir(place):
                for path, text in files_below(place, options.glob, skipped, extractor):
                    documents.extend(_documents(text, path, options, notes, in_folder=True))
            elif ending(place) == "parquet":
                documents.extend(documents_of(ParquetRows(place), options))
            else:
                name = "stdin" if place == STDIN else place
                read = _read(place, name, extractor)
                documents.extend(_documents(read, name, options, notes, in_folder=False))
    if options.id_field is not None and documents and not any(each.record is not None for each in documents):
        raise InputError(f"--id-field {options.id_field}: nothing that was named holds records, which have fields")
    if skipped.reasons:
        note(f"left out: {skipped}")
    for line in notes.lines():
        note(line)
    return documents


def _read(place: str, name: str, extractor: TextExtractor) -> str | ExtractedText:
    content = read_bytes(place)
    if not document_kind(content, name):
        return decoded(content, name)
    try:
        extracted = extractor.text(content, name)
    except InputError as error:
        raise InputError(f"{name}: cannot be read: {error}") from None
    return extracted


def _documents(
    text: str | ExtractedText, name: str, options: DocumentOptions, notes: ReadingNotes, *, in_folder: bool
) -> list[Document]:
    form = options.input_format
    if isinstance(text, ExtractedText):
        if form == "auto" and options.passage_words:
            parts = extracted_passages(text, options.passage_words)
            return [Document(part.text, f"{name}:{part.part or part.first_line}") for part in parts]
        text, form = text.text, "whole" if form == "auto" else form
    if form != "auto":
        return list(_in_form(form, text, name, options))
    suffix = ending(name)
    if form := RECORDS.get(suffix, ""):
        try:
            return list(_in_form(form, text, name, options))
        except InputError as error:
            # A folder holds what it holds; what was named by itself was meant to be read as what it is called.
            if not in_folder and not isinstance(error, NoRecordsError):
                raise
            lines = form in ("csv", "tsv") and not in_folder and options.passage_words is None
            notes.no_records("a document a line" if lines else "one document", str(error))
        return list(_in_form("lines" if lines else "whole", text, name, options))
    form = "whole" if in_folder or suffix in _WHOLE or options.passage_words else "lines"
    documents = list(_in_form(form, text, name, options))
    if suffix not in _WHOLE:
        notes.plain(text, name)
    if form == "lines" and name != "stdin":
        notes.by_line(text, name, len(documents))
    return documents


def _in_form(form: str, text: str, name: str, options: DocumentOptions) -> Iterator[Document]:
    if form == "whole":
        yield from _whole(text, name, options.passage_words)
    elif form == "lines":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                # A passage of one line of input is still found at that line.
                yield from (Document(part, f"{name}:{number}") for part in _parts(line, options.passage_words))
    else:
        yield from _records(form, text, name, options)


def _records(form: str, text: str, name: str, options: DocumentOptions) -> Iterator[Document]:
    yield from documents_of(READERS[form](text, name, options.field), options)


def documents_of(entries: Iterable[Entry], options: DocumentOptions) -> Iterator[Document]:
    """The documents of records with their sources. Raises InputError for a record without a text."""
    for source, entry in entries:
        document = text_of(entry, source, options.field)
        if isinstance(entry, str):
            yield from (Document(part, source) for part in _parts(document, options.passage_words))
            continue
        named = id_of(entry, source, options.id_field)
        if options.passage_words is not None:
            # Else every passage would bring the whole text along.
            entry = {key: value for key, value in entry.items() if key != options.field}
        yield from (Document(part, source, entry, named) for part in _parts(document, options.passage_words))


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
