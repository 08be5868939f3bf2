"""The text of one file -> its documents: the whole file, or each of its records, in passages that know their lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.documents.extracted_text import ExtractedText, extracted_passages
from qwen3_reranker.documents.front_matter import front_matter
from qwen3_reranker.documents.html_text import html_text
from qwen3_reranker.documents.kinds import HTML, MARKDOWN, MARKUP, RECORDS, SOURCE_CODE, ending
from qwen3_reranker.documents.passages import TOKENS, Passage, headings, passages
from qwen3_reranker.documents.record_files import READERS, Entry, id_of
from qwen3_reranker.errors import InputError

#: Fields of a record that may hold its text, the first that is there.
TEXT_FIELDS = ("text", "content", "body", "passage", "document")


@dataclass(frozen=True, slots=True)
class FileDocument:
    """A document of a file.

    id: what a record names itself, empty for a whole file. title: of a record, a page or a Markdown file. fields: the
    front matter, or the record's other fields. headings: those above each passage, joined.
    """

    passages: tuple[Passage, ...]
    headings: tuple[str, ...]
    id: str = ""
    title: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


def file_documents(text: str, name: str, passage_tokens: int) -> list[FileDocument]:
    """The documents of a file with that text, read by the ending of its name; none if it holds no words.

    A file of records that cannot be read as such is one document.
    """
    kind = ending(name)
    if form := RECORDS.get(kind):
        try:
            return list(_records(form, text, name, passage_tokens))
        except InputError:
            pass
    if kind in HTML:
        title, text, line_of = html_text(text)
        document = _whole(text, passage_tokens, kind, title)
        numbered = tuple(
            replace(each, first_line=line_of[each.first_line - 1], last_line=line_of[each.last_line - 1])
            for each in document.passages
        )
        return [replace(document, passages=numbered)] if numbered else []
    fields: dict[str, Any] = {}
    if kind in MARKDOWN:
        fields, text = front_matter(text)
    title = fields.get("title", "")
    document = replace(_whole(text, passage_tokens, kind, title if isinstance(title, str) else ""), fields=fields)
    return [document] if document.passages else []


def text_document(text: str, passage_tokens: int, **facts: Any) -> FileDocument:
    """A text that comes from no file; `facts` are fields of FileDocument."""
    return replace(_whole(text, passage_tokens, ""), **facts)


def extracted_document(extracted: ExtractedText, passage_tokens: int) -> FileDocument:
    """The document of a file that is no text, such as a PDF."""
    parts = tuple(extracted_passages(extracted, passage_tokens, TOKENS))
    above = _headings(extracted.headings, parts)
    return FileDocument(parts, above, title=extracted.title, fields=extracted.fields)


def _whole(text: str, passage_tokens: int, kind: str, title: str = "") -> FileDocument:
    parts = tuple(passages(text, passage_tokens, is_code=kind in SOURCE_CODE, unit=TOKENS))
    # Elsewhere a # begins a comment.
    above = _headings(list(headings(text)), parts) if kind in MARKUP else ("",) * len(parts)
    return FileDocument(parts, above, title=title or next(filter(None, above), ""))


def _headings(titles: Sequence[tuple[int, int, str]], parts: Sequence[Passage]) -> tuple[str, ...]:
    """The headings that each passage stands below, outermost first, up to the first of its own."""
    found: list[str] = []
    above: list[tuple[int, str]] = []
    next_title = 0
    for part in parts:
        while next_title < len(titles) and titles[next_title][0] <= part.first_line:
            _, depth, words = titles[next_title]
            above = [each for each in above if each[0] < depth] + [(depth, words)]
            next_title += 1
        found.append(" > ".join(words for _, words in above))
    return tuple(found)


def _records(form: str, text: str, name: str, passage_tokens: int) -> Iterator[FileDocument]:
    entries = list(READERS[form](text, name, _text_field(form, text, name)))
    for source, entry in entries:
        record = {"text": entry} if isinstance(entry, str) else dict(entry)
        chosen = next((field for field in TEXT_FIELDS if isinstance(record.get(field), str)), None)
        if chosen is None:
            raise InputError(f"{source}: none of the fields {', '.join(TEXT_FIELDS)} holds a text")
        # Escapes of JSON can be halves of characters, in any field.
        if lone_surrogate(json.dumps(record, ensure_ascii=False)) is not None:
            raise InputError(f"{source}: not valid Unicode")
        body = record.pop(chosen)
        document = _whole(body, passage_tokens, "")
        line = _line_of(source, name)
        named = id_of(record, source, None)
        title = record.get("title")
        yield replace(
            document,
            passages=tuple(replace(each, first_line=line, last_line=line) for each in document.passages),
            id=source.removeprefix(name) if named is None else str(named),
            title=title if isinstance(title, str) else "",
            fields={key: value for key, value in record.items() if isinstance(value, str | int | float | list)},
        )


def _text_field(form: str, text: str, name: str) -> str:
    """The first of the fields for texts that the records have; files of records name their fields in the beginning."""
    first: Mapping[str, Any] = {}
    for candidate in TEXT_FIELDS:
        try:
            entry: Entry = next(READERS[form](text, name, candidate))
        except (InputError, StopIteration):
            continue
        if isinstance(entry[1], str):
            return candidate
        first = entry[1]
        if candidate in first:
            return candidate
    return TEXT_FIELDS[0]


def _line_of(source: str, name: str) -> int:
    """The line that a record's source names, 1 in an array."""
    number = source.removeprefix(name).removeprefix(":")
    return int(number) if number.isdigit() else 1
