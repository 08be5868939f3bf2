"""Parquet files -> rows, and rows -> a Parquet file, by pyarrow, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.storage_urls import first_line, is_url, open_url

_ROWS = 1024


def require_pyarrow() -> Any:
    """The library. Raises UnavailableError, which says what to install."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise UnavailableError("Parquet needs pyarrow: pip install 'qwen3_reranker[parquet]'") from None
    return pyarrow


class ParquetRows:
    """The rows of a file or URL in its order: the source, `path:row`, and a dictionary of each.

    Raises InputError for a file that cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path, pyarrow = path, require_pyarrow()
        try:
            self._file = pyarrow.parquet.ParquetFile(open_url(path) if is_url(path) else path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({first_line(error)})") from None

    @property
    def schema(self) -> Any:
        """The columns and their types, as Arrow has them."""
        return self._file.schema_arrow

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            batches = self._file.iter_batches(batch_size=_ROWS)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
                yield f"{self._path}:{number}", row
        except (OSError, require_pyarrow().ArrowException) as error:
            raise InputError(f"{self._path}: cannot be read as Parquet ({first_line(error)})") from None


class ParquetOutput:
    """Writes rows to a file. The first rows that are written say which columns there are and of which types.

    float32, float32_lists: the columns of numbers in 32 bits, and of lists of such numbers, all of one length.
    schema: all columns, from `schema_of`, for one of several files that have the same.
    """

    def __init__(
        self, path: Path, float32: Sequence[str] = (), float32_lists: Sequence[str] = (), schema: Any = None
    ) -> None:
        self._pyarrow = require_pyarrow()
        self._path, self._float32, self._float32_lists = path, float32, float32_lists
        self._schema = schema
        self._writer: Any = None

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows. Raises InputError for one that does not fit the columns of the first."""
        if not rows:
            return
        pyarrow = self._pyarrow
        try:
            if self._writer is None:
                schema = self._schema or schema_of(rows, self._float32, self._float32_lists)
                self._writer = pyarrow.parquet.ParquetWriter(self._path, schema)
            schema = self._writer.schema
            if unknown := {name for row in rows for name in row}.difference(schema.names):
                raise InputError(
                    f"the field {min(unknown)!r} is not among the columns of the first rows "
                    f"({', '.join(schema.names)}); write JSON lines instead"
                )
            self._writer.write_table(pyarrow.Table.from_pylist(list(rows), schema))
        except (pyarrow.ArrowException, UnicodeEncodeError) as error:
            raise _no_table(error) from None

    def close(self) -> None:
        """Write what is left. A file without rows has no columns."""
        if self._writer is None:
            self._pyarrow.parquet.write_table(self._pyarrow.table({}), self._path)
        else:
            self._writer.close()


def schema_of(
    rows: Sequence[Mapping[str, Any]],
    float32: Sequence[str] = (),
    float32_lists: Sequence[str] = (),
    known: Any = None,
) -> Any:
    """The columns that these rows make. known: the schema that has the types of some of them.

    Raises InputError for rows whose types differ.
    """
    pyarrow = require_pyarrow()
    types: dict[str, Any] = dict.fromkeys(name for row in rows for name in row)
    types |= {field.name: field.type for field in known or ()}
    new = [name for name, kind in types.items() if kind is None]
    try:
        given = pyarrow.Table.from_pylist([{name: row.get(name) for name in new} for row in rows]).schema
    except (pyarrow.ArrowException, UnicodeEncodeError) as error:
        raise _no_table(error) from None
    types |= {field.name: field.type for field in given}
    types |= {name: pyarrow.float32() for name in float32 if name in types}
    types |= {name: pyarrow.list_(pyarrow.float32(), len(rows[0][name])) for name in float32_lists if name in types}
    # A column that holds nothing yet may hold text later.
    return pyarrow.schema(
        [(name, pyarrow.string() if kind == pyarrow.null() else kind) for name, kind in types.items()]
    )


def _no_table(error: Exception) -> InputError:
    return InputError(f"records of these kinds make no table ({first_line(error)}); write JSON lines")
