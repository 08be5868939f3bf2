"""A file of records -> pairs of a query and a document, checked, and cut into parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from qwen3_reranker.arguments import lone_surrogate
from qwen3_reranker.documents.record_files import kind
from qwen3_reranker.documents.record_stream import FORMATS, RecordStream
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.prompt import is_blank

Row = TypeVar("Row")

# A part whose texts are so long ends before it has all its rows: several parts are in memory at once.
_PART_CHARACTERS = 32_000_000


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Where a pair's texts are, and what makes a document relevant."""

    group: ClassVar[str] = "Pairs"
    query_field: str = option("query", "The field or column that holds the query.", unit="NAME")
    document_field: str = option("document", "The field or column that holds the document.", unit="NAME")
    input_format: str | None = option(
        None, "The format of PAIRS.", choices=FORMATS, shown="that of the file's ending; jsonl for -"
    )
    instruction: str | None = option(
        None,
        "Say what makes a document relevant, best in English.",
        unit="TEXT",
        shown="that it answers a web search query",
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """A record and its two texts. source: where it is."""

    source: str
    record: Mapping[str, Any]
    query: str
    document: str


def pairs_of(stream: RecordStream, options: PairOptions) -> Iterator[Pair]:
    """The pairs of a stream; raises InputError for a record without two texts."""
    for source, record in stream:
        query = _text(record, source, options.query_field, "--query-field")
        if is_blank(query):
            raise InputError(f"{source}: the query must not be blank")
        yield Pair(source, record, query, _text(record, source, options.document_field, "--document-field"))


def pairs_with_queries_whole(pairs: Iterable[Pair], num_rows: int) -> Iterator[list[Pair]]:
    """Parts of num_rows pairs or a little more: up to a quarter more, if one query would otherwise be in two parts."""

    def may_end(part: Sequence[Pair], following: Pair) -> bool:
        return following.query != part[-1].query or len(part) >= num_rows + num_rows // 4

    return parts_of(pairs, num_rows, lambda pair: len(pair.query) + len(pair.document), may_end)


def parts_of(
    rows: Iterable[Row],
    num_rows: int,
    characters: Callable[[Row], int],
    may_end: Callable[[Sequence[Row], Row], bool] = lambda part, following: True,
) -> Iterator[list[Row]]:
    """Parts of num_rows rows, or of fewer where texts are long. may_end: whether a part may end before a row."""
    part: list[Row] = []
    held = 0
    for row in rows:
        if part and (held >= _PART_CHARACTERS or (len(part) >= num_rows and may_end(part, row))):
            yield part
            part, held = [], 0
        part.append(row)
        held += characters(row)
    if part:
        yield part


def _text(record: Mapping[str, Any], source: str, name: str, flag: str) -> str:
    if name not in record:
        known = ", ".join(map(repr, record)) or "none"
        raise InputError(f"{source}: no field {name!r} (its fields: {known:.200}); choose one with {flag}")
    text = record[name]
    if not isinstance(text, str):
        raise InputError(f"{source}: the field {name!r} must be a string, got {kind(text)}")
    if (index := lone_surrogate(text)) is not None:
        raise InputError(f"{source}: not valid Unicode: the lone surrogate {text[index]!r} in {name!r}")
    return text
