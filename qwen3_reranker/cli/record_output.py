"""Records -> JSON lines, CSV, TSV or Parquet, a part at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TextIO

from qwen3_reranker.cli.output_file import scratch_path, text_output
from qwen3_reranker.cli.ranking_output import is_ascii_only, json_text
from qwen3_reranker.cli.terminal import visible
from qwen3_reranker.errors import InputError
from qwen3_reranker.parquet import ParquetOutput, schema_of
from qwen3_reranker.row_table import Column, RowTable

Record = Mapping[str, Any]


def columns_of(
    form: str, like: Sequence[Record], float32: Sequence[str], float32_lists: Sequence[str] = (), known: Any = None
) -> Any:
    """The columns of files in which all of these records fit, for `opened_records`. form, float32...: as below.

    known: the schema of Parquet that has the types of some of them.
    """
    return schema_of(like, float32, float32_lists, known) if form == "parquet" else _names(like)


@contextmanager
def opened_records(form: str, path: Path, columns: Any) -> Iterator[Callable[[Sequence[Record]], None]]:
    """What writes records to the file `path`, one of several with the same columns."""
    if form == "parquet":
        with closing(ParquetOutput(path, schema=columns)) as parquet:
            yield parquet.write
        return
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        yield (_json_lines if form == "jsonl" else _Table(form, columns).write)(stream)


@contextmanager
def record_output(
    form: str, place: str | None, float32: Sequence[str] = (), float32_lists: Sequence[str] = ()
) -> Iterator[Callable[[Sequence[Record]], None]]:
    """What writes records to the file `place`, or to standard output for None. form: jsonl, csv, tsv or parquet.

    The file gets its name at the end; after an error, what was written stays under the name FILE.part.
    float32, float32_lists: columns of Parquet of such numbers.
    """
    if form == "parquet":
        assert place is not None, "format_of refuses it"
        with scratch_path(place, keep=True) as path, closing(ParquetOutput(path, float32, float32_lists)) as parquet:
            yield parquet.write
        return
    with text_output(place, keep=True) as stream:
        yield (_json_lines if form == "jsonl" else _Table(form).write)(stream)


def _json_lines(stream: TextIO) -> Callable[[Sequence[Record]], None]:
    ascii_only = is_ascii_only(stream)

    def write(records: Sequence[Record]) -> None:
        stream.writelines(json_text(record, ascii_only) + "\n" for record in records)
        # What reads a pipe should not wait for more.
        stream.flush()

    return write


class _Table:
    """CSV or TSV below a header of these columns, or of the fields of the first record."""

    def __init__(self, form: str, columns: Sequence[str] = ()) -> None:
        self._form, self._columns = form, columns
        self._names: list[str] | None = None

    def write(self, stream: TextIO) -> Callable[[Sequence[Record]], None]:
        """What writes to the stream."""

        def write(records: Sequence[Record]) -> None:
            headed = self._names is not None
            if self._names is None and records:
                self._names = list(self._columns or _names(records[:1]))
            names = self._names or []
            if unknown := {name for record in records for name in record}.difference(names):
                raise InputError(
                    f"the field {min(unknown)!r} is not among those of the first record ({', '.join(names)}); "
                    "write JSON lines instead"
                )
            rows = [[_cell(record.get(name)) for name in names] for record in records]
            if self._form == "csv":
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerows(rows if headed else [names, *rows])
            else:
                lines = RowTable([Column(name) for name in names], rows).tsv(visible)
                stream.write(lines.partition("\n")[2] if headed else lines)
            stream.flush()

        return write


def _names(records: Sequence[Record]) -> list[str]:
    """The fields of the records, in the order in which they first come."""
    return list(dict.fromkeys(name for record in records for name in record))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
