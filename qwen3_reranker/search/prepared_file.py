"""A file on disk -> the rows that the index holds of it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.documents.extracted_text import ExtractedText
from qwen3_reranker.documents.file_documents import (
    TEXT_FIELDS,
    FileDocument,
    extracted_document,
    file_documents,
    text_document,
)
from qwen3_reranker.documents.folder import readable_text
from qwen3_reranker.documents.kinds import DOCUMENTS, document_kind, ending, reading
from qwen3_reranker.documents.text_extractor import MAX_DOCUMENT_BYTES, TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.search.index_tables import word_row

#: A larger file is data or a log, and would take minutes to embed.
MAX_FILE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells that a file is to be read again, before it is read: its bytes, and nanoseconds of two times.

    mtime_ns: of its content, which copies may keep. ctime_ns: of anything, its rights too. reading: how a file of its
    name is read.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    reading: str


class PassageRow(NamedTuple):
    """A passage as the tables hold it; body and context are its words."""

    first_line: int
    last_line: int
    part: str
    headings: str
    text: str
    body: str
    context: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as the tables hold it; fields: JSON."""

    name: str
    title: str
    fields: str
    passages: tuple[PassageRow, ...]


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file as the tables hold it. skipped: why it is left out, empty for a file with passages."""

    path: str
    stamp: FileStamp
    sha256: bytes
    documents: tuple[DocumentRow, ...] = ()
    skipped: str = ""


def stamp_of(status: os.stat_result, path: str) -> FileStamp:
    """The stamp in the status of the file at `path`."""
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, reading(path))


def most_bytes(path: str) -> int:
    """The bytes at most of a file of that name; a larger one is left out."""
    return MAX_DOCUMENT_BYTES if ending(path) in DOCUMENTS else MAX_FILE_BYTES


def prepared_file(folder: str, path: str, passage_tokens: int, extractor: TextExtractor) -> PreparedFile:
    """Read the file at `path`, relative to the folder. A file that cannot be used says why.

    Raises UnavailableError if the extractor cannot start.
    """
    whole = Path(folder, path)
    stamp = FileStamp(0, 0, 0, reading(path))
    try:
        status = os.stat(whole)
        stamp = stamp_of(status, path)
        if not stat.S_ISREG(status.st_mode):
            # A pipe would block, a device might never end.
            reason = "linked folders" if stat.S_ISDIR(status.st_mode) else "pipes and devices"
            return PreparedFile(path, stamp, b"", skipped=reason)
        if whole.is_symlink() and _is_hidden(os.path.relpath(os.path.realpath(whole), os.path.realpath(folder))):
            # Else a folder from elsewhere could bring any file of its reader into the index.
            return PreparedFile(path, stamp, b"", skipped="links to files that are hidden or elsewhere")
        with whole.open("rb") as opened:
            stamp = stamp_of(os.fstat(opened.fileno()), path)
            content = opened.read(most_bytes(path) + 1)
    except OSError:
        return PreparedFile(path, stamp, b"", skipped="unreadable")
    digest = hashlib.sha256(stamp.reading.encode())
    digest.update(content)
    sha256 = digest.digest()
    try:
        documents = _documents(content, path, passage_tokens, extractor)
    except InputError as error:
        return PreparedFile(path, stamp, sha256, skipped=str(error))
    rows = document_rows(path, documents)
    return PreparedFile(path, stamp, sha256, rows, "" if rows else "empty")


def prepared_record(record: Mapping[str, Any], place: int, passage_tokens: int) -> PreparedFile:
    """A record as a file whose path is its id.

    Raises InputError, with its place, for one without an id or a text, or with half of a character.
    """
    text = next((record[field] for field in TEXT_FIELDS if isinstance(record.get(field), str)), None)
    named = record.get("id", record.get("_id"))
    if text is None or not isinstance(named, str | int):
        raise InputError(
            f"record {place}: expected an id and a text (in {', '.join(TEXT_FIELDS)}), got the fields "
            f"{', '.join(map(repr, record)) or 'none'}"
        )
    written = json.dumps(dict(record), sort_keys=True, ensure_ascii=False, default=str)
    if lone_surrogate(written) is not None:
        raise InputError(f"record {place}: not valid Unicode, as it holds a lone surrogate")
    title = record.get("title")
    fields = {key: value for key, value in record.items() if key not in (*TEXT_FIELDS, "id", "_id")}
    document = text_document(text, passage_tokens, title=title if isinstance(title, str) else "", fields=fields)
    rows = document_rows(str(named), [document])
    digest = hashlib.sha256(written.encode()).digest()
    return PreparedFile(
        str(named), FileStamp(len(text), now := time.time_ns(), now, ""), digest, rows, "" if rows else "empty"
    )


def document_rows(path: str, documents: Sequence[FileDocument]) -> tuple[DocumentRow, ...]:
    """The rows of documents that came from `path`."""
    return tuple(
        DocumentRow(
            document.id,
            document.title,
            _json(document.fields),
            tuple(
                PassageRow(
                    passage.first_line,
                    passage.last_line,
                    passage.part,
                    headings,
                    passage.text,
                    *word_row(passage.text, context_of(path, document.title, headings)),
                )
                for passage, headings in zip(document.passages, document.headings, strict=True)
            ),
        )
        for document in documents
        if document.passages
    )


def context_of(path: str, title: str, headings: str) -> str:
    """The text around a passage whose words find it too."""
    return f"{path} {title} {headings}"


def _json(fields: Mapping[str, Any]) -> str:
    """Fields as JSON; what JSON has no number for, such as NaN, is null: SQLite refuses to search through it."""
    try:
        return json.dumps(fields, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        written = json.dumps(fields, ensure_ascii=False, default=str)
        return json.dumps(json.loads(written, parse_constant=lambda _: None), ensure_ascii=False)


def _is_hidden(path: str) -> bool:
    """Whether a part of a relative path is hidden, or leads out of the folder."""
    return any(part.startswith(".") for part in path.split(os.sep))


def _documents(content: bytes, path: str, passage_tokens: int, extractor: TextExtractor) -> list[FileDocument]:
    """The documents of a file. Raises InputError that says why there are none, in words for many files."""
    if len(content) > MAX_FILE_BYTES and not document_kind(content, path):
        raise InputError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    text = readable_text(content, path, extractor)
    if isinstance(text, ExtractedText):
        return [extracted_document(text, passage_tokens)]
    return file_documents(text, path, passage_tokens)
