"""What callers pass as documents -> their texts, and the records that hold them.

Tables and arrays of other libraries are known by what they can do; none of these libraries is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.errors import InputError, RecordError

#: The name of the field or column that holds a record's text, or a function of the record that gives it.
Key = str | Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class RecordTexts:
    """The text of each record, and the records themselves, in input order. A string is its own record.

    name: what errors call the collection, an argument or an item of one.
    """

    name: str
    texts: Sequence[str]
    records: Sequence[Any]


def record_texts(name: str, given: object, key: Key | None) -> RecordTexts:
    """The texts of `given`, an argument of that name.

    given: strings or records in a list, tuple, generator, view, array, Series, column, DataFrame or Arrow table. key:
    None where only strings are allowed. Raises InputError for anything else, and RecordError for a record without a
    text.
    """
    if key is not None and not isinstance(key, str) and not callable(key):
        raise InputError(f"key must be the name of a field or a function, got {type(key).__name__}")
    if isinstance(given, list | tuple) and all(type(each) is str for each in given) and not callable(key):
        return RecordTexts(name, given, given)
    records: Sequence[Any] = _FrameRows(given) if _is_frame(given) else _listed(name, given, strings_only=key is None)
    values = records
    if isinstance(records, _FrameRows):
        if key is None:
            raise InputError(f"{name} must be a list of strings, got {type(given).__name__}; pass one of its columns")
        if isinstance(key, str):
            values, key = _column(name, given, key), None
    texts = [_text(f"{name}[{index}]", index, each, key) for index, each in enumerate(values)]
    return RecordTexts(name, texts, records)


def texts_by_query(name: str, given: object, num_queries: int, key: Key) -> list[RecordTexts]:
    """The documents of each query: a collection for each of them, in a list or tuple, or else one for all of them."""
    if isinstance(given, list | tuple) and given and _is_collection(given[0]):
        if len(given) != num_queries:
            raise InputError(f"{name} must be a list for each of the {num_queries:,} queries, got {len(given):,} lists")
        return [record_texts(f"{name}[{index}]", each, key) for index, each in enumerate(given)]
    return [record_texts(name, given, key)] * num_queries


class _FrameRows(Sequence[Any]):
    """The rows of a DataFrame, made when they are asked for."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        # That of pandas is a Series with the row's label as its name, that of polars a dictionary.
        return self._frame.iloc[index] if hasattr(self._frame, "iloc") else self._frame.row(index, named=True)


def _is_frame(given: Any) -> bool:
    # In this order, as a lazy frame of polars works out its columns when it is asked for them.
    return (hasattr(given, "iloc") or hasattr(given, "iter_rows")) and hasattr(given, "columns")


def _is_collection(given: Any) -> bool:
    """Whether it holds records, and is none."""
    if isinstance(given, str | Mapping) or hasattr(given, "_fields"):
        return False
    return isinstance(given, list | tuple | Iterator) or hasattr(given, "__array__") or hasattr(given, "to_pylist")


def _column(name: str, frame: Any, key: str) -> list[Any]:
    if key not in frame.columns:
        raise InputError(f"{name} has no column {key!r} (its columns: {_names(frame.columns)}); name one with key=")
    column = frame[key]
    if hasattr(column, "columns"):
        raise InputError(f"{name} has several columns {key!r}; rename them")
    return list(column)


def _listed(name: str, given: Any, *, strings_only: bool) -> list[Any]:
    of_what = "strings" if strings_only else "strings or records"
    refused = InputError(f"{name} must be a list of {of_what}, got {type(given).__name__}")
    if isinstance(given, str | bytes | Mapping | set | frozenset):
        raise refused
    if hasattr(given, "to_pylist"):
        # Arrow gives scalars of its own otherwise.
        return list(given.to_pylist())
    if not (isinstance(given, Iterable) or (hasattr(given, "__getitem__") and hasattr(given, "__len__"))):
        raise refused
    try:
        items = iter(given)
    except TypeError:
        raise refused from None
    return list(items)


def _text(place: str, index: int, record: Any, key: Key | None) -> str:
    if callable(key):
        try:
            text: Any = key(record)
        except Exception as error:
            raise RecordError(f"{place}: key failed with {type(error).__name__}: {error}", index) from error
        what = f"{place}: what key gives"
    elif isinstance(record, str) or key is None:
        text, what = record, place
    else:
        text, what = _field(place, index, record, key), f"{place}: the field {key!r}"
    if not isinstance(text, str):
        shown = f" {text!r}" if isinstance(text, float) else ""
        raise RecordError(f"{what} must be a string, got {type(text).__name__}{shown}", index)
    # Strings of numpy and enumerations print in ways of their own.
    return text if type(text) is str else str.__str__(text)


def _field(place: str, index: int, record: Any, key: str) -> Any:
    dtype_names = getattr(getattr(record, "dtype", None), "names", None)
    if isinstance(record, Mapping) or dtype_names or (hasattr(record, "keys") and hasattr(record, "__getitem__")):
        names: Iterable[Any] = dtype_names or record.keys()
        if key in names:
            return record[key]
    elif hasattr(record, key):
        return getattr(record, key)
    else:
        kinds = ("_fields", "__slots__", "__dict__")
        names = next(filter(None, (getattr(record, kind, None) for kind in kinds)), ())
        if not names:
            raise RecordError(f"{place} must be a string or a record, got {type(record).__name__}", index)
    raise RecordError(f"{place} has no field {key!r} (its fields: {_names(names)}); name one with key=", index)


def _names(names: Iterable[Any]) -> str:
    return f"{', '.join(repr(each) for each in names if not str(each).startswith('_')) or 'none':.200}"
