"""How files were read -> a few notes where that may surprise."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass, field

from qwen3_reranker.documents.record_files import suggested_format

_MEANT = {
    "jsonl": "these lines look like JSON objects, and are",
    "json": "this text looks like a JSON array, and is",
    "csv": "this text looks like CSV, and is",
    "tsv": "this text looks like TSV, and is",
}
_READS = {"jsonl": "field", "json": "field", "csv": "column", "tsv": "column"}


@dataclass(slots=True)
class ReadingNotes:
    """Collects notes on files, for a few lines at the end. text_field: the field that holds a record's text."""

    text_field: str
    _no_records: dict[str, list[str]] = field(default_factory=dict)
    _plain: dict[str, list[str]] = field(default_factory=dict)
    _by_line: list[tuple[str, int]] = field(default_factory=list)
    _prose: bool = False

    def no_records(self, read_as: str, reason: str) -> None:
        """A file that is called records was read as something else. reason: its name, and why."""
        self._no_records.setdefault(read_as, []).append(reason)

    def plain(self, text: str, name: str) -> None:
        """A file was read as text; it may be records under another name."""
        if form := suggested_format(text, self.text_field):
            self._plain.setdefault(form, []).append(name)

    def by_line(self, text: str, name: str, documents: int) -> None:
        """A file was read as a document a line."""
        self._by_line.append((name, documents))
        self._prose |= _paragraphs(text) > 1

    def lines(self) -> Iterator[str]:
        """The notes, a line each."""
        for read_as, reasons in self._no_records.items():
            more = f" (and {_more(reasons)})" if len(reasons) > 1 else ""
            yield f"read as {read_as}, not as records: {reasons[0]}{more}"
        for form, names in self._plain.items():
            more = f" (and {_more(names)})" if len(names) > 1 else ""
            reads = f"--input-format {form} reads the {_READS[form]} {self.text_field!r}"
            yield f"{names[0]}{more}: {_MEANT[form]} ranked as such; {reads}"
        several = [(name, count) for name, count in self._by_line if count > 1]
        if several and not self._plain and (self._prose or len(self._by_line) > 1):
            name, count = several[0]
            more = f" (and {_more(self._by_line)} alike)" if len(self._by_line) > 1 else ""
            yield f"{name}: {count:,} documents, one a line{more}; --input-format whole makes each file one"


def _paragraphs(text: str) -> int:
    """Paragraphs of several lines. Two of them are prose, and a line of prose is no document."""
    found = lines = 0
    for line in text.split("\n"):
        lines = lines + 1 if line.strip() else 0
        found += lines == 2
    return found


def _more(files: Sized) -> str:
    more = len(files) - 1
    return f"{more:,} more {'file' if more == 1 else 'files'}"
