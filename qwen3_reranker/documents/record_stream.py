"""A file of records, or standard input -> one record after the other, in memory that does not grow."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

from qwen3_reranker.documents.kinds import RECORDS, ending
from qwen3_reranker.documents.record_files import LONGEST_CELL, column_names, kind, wrong_columns
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.parquet import ParquetRows
from qwen3_reranker.storage_urls import is_url
from qwen3_reranker.text_lines import decoded_lines, open_lines

STDIN = "-"
#: Formats that are read a record at a time.
FORMATS = ("jsonl", "csv", "tsv", "parquet")
_SEPARATORS = {"csv": ",", "tsv": "\t"}


class RecordStream:
    """The records of a file, each with its source, `path:line` or `path:row`. It can be read again unless reads_once.

    form: one of FORMATS; None for that of the file's ending, or JSON lines on standard input.
    Raises InputError for a file that is not there, and while it is read for what is no record.
    """

    def __init__(self, path: str, form: str | None = None) -> None:
        if os.path.isdir(path) or (is_url(path) and path.endswith("/")):
            raise InputError(f"{path} is a folder: name a file of records")
        self.path, self._is_stdin = path, path == STDIN
        #: Whether it is standard input or another pipe, whose records are gone once they are read.
        self.reads_once = self._is_stdin or (os.path.exists(path) and not os.path.isfile(path))
        self.name = "stdin" if self._is_stdin else path
        self.form = form or ("jsonl" if self._is_stdin else _form_of(path))
        if self.form not in FORMATS:
            raise unknown("format", self.form, FORMATS)
        if self.form == "parquet" and self.reads_once:
            raise InputError(f"Parquet cannot be read from {self.name}, which is a pipe; name a file")

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if self.form == "parquet":
            yield from ParquetRows(self.path)
            return
        with self._opened() as file:
            lines = decoded_lines(file, self.name)
            yield from _objects(lines) if self.form == "jsonl" else _rows(lines, _SEPARATORS[self.form])

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        if not self._is_stdin:
            return open_lines(self.path)
        if sys.stdin is None:
            raise InputError("standard input is closed, so - cannot be read")
        return nullcontext(sys.stdin.buffer)


def _form_of(path: str) -> str:
    found = RECORDS.get(ending(path.removesuffix(".xz")))
    form = "parquet" if ending(path) == "parquet" else found
    if form == "json":
        raise InputError(f"{path}: an array of JSON has to be read whole; write a record a line (jq -c '.[]')")
    if form is None:
        raise InputError(f"{path}: expected a file called .jsonl, .csv, .tsv or .parquet; or say --input-format")
    return form


def _objects(lines: Iterator[tuple[str, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for source, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not valid JSON: {getattr(error, 'msg', None) or error}") from None
        if not isinstance(value, dict):
            raise InputError(f"{source}: expected a JSON object, got {kind(value)}")
        yield source, value


def _rows(lines: Iterator[tuple[str, str]], separator: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows below a header. In TSV a row is a line; in CSV a quoted cell may hold ends of line."""
    # The first line of the row that is being read.
    source = ""

    def texts() -> Iterator[str]:
        nonlocal source
        for place, text in lines:
            source = source or place
            yield f"{text}\n"

    cells: Iterator[list[str]]
    if separator == "\t":
        cells = (_unquoted(text.rstrip("\n").split("\t")) if text.strip() else [] for text in texts())
    else:
        csv.field_size_limit(LONGEST_CELL)
        cells = iter(csv.reader(texts(), strict=True))
    columns: list[str] | None = None
    try:
        for row in cells:
            place, source = source, ""
            if not row:
                continue
            if columns is None:
                columns = column_names(row)
                continue
            if len(row) != len(columns):
                raise wrong_columns(place, len(columns), len(row), separator)
            yield place, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{source}: not valid CSV: {error}") from None


def _unquoted(cells: list[str]) -> list[str]:
    """The cells, without quotes that quote the whole of one."""
    return [cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells]
