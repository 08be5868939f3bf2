"""A query as an argument, a file with one, or a file of many -> queries with their ids."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qwen3_reranker.cli.text_files import STDIN, read_text
from qwen3_reranker.documents.kinds import RECORDS, ending
from qwen3_reranker.documents.record_files import READERS, Entry, id_of, looks_like_json_lines, text_of
from qwen3_reranker.errors import InputError
from qwen3_reranker.parquet import ParquetRows
from qwen3_reranker.prompt import is_blank

#: Fields of a record that may hold a query, the first that is there.
QUERY_FIELDS = ("query", "text", "question")
_ID_FIELDS = ("query_id", "qid")


@dataclass(frozen=True, slots=True)
class Query:
    """A query. id: what names it among several; None for the only one."""

    text: str
    id: str | None = None


def queries_and_places(
    arguments: Sequence[str], query_file: str | None, queries_file: str | None
) -> tuple[list[Query], Sequence[str]]:
    """The queries, and the places of the documents. Raises InputError where either is missing."""
    option = "--query-file" if queries_file is None else "--queries"
    file = query_file if queries_file is None else queries_file
    if query_file is not None and queries_file is not None:
        raise InputError("--query-file holds one query and --queries many: leave one of them out")
    if file is None:
        if not arguments:
            raise InputError("expected a query and documents, got neither: qwen3-reranker rank QUERY DOCUMENTS...")
        queries, places = [Query(arguments[0])], arguments[1:]
        if is_blank(arguments[0]):
            raise InputError("the query must not be blank")
    else:
        if file == STDIN and STDIN in arguments:
            raise InputError("standard input (-) can be read only once, as the query or as documents")
        if arguments and arguments[0] != STDIN and not os.path.exists(arguments[0]):
            raise InputError(
                f"{arguments[0]}: no such file or folder; the query comes from {option}, so all arguments are documents"
            )
        queries, places = _of_file(file) if queries_file is not None else [_only_query(file)], arguments
    if not places:
        raise InputError("no documents named: give files, folders, or - for standard input after the query")
    return queries, places


def _only_query(file: str) -> Query:
    text = read_text(file).strip()
    if is_blank(text):
        raise InputError(f"{file}: the query must not be blank")
    return Query(text)


def _of_file(file: str) -> list[Query]:
    """The queries of a file: one a line, or records. Those without an id are named by their number."""
    queries: list[Query] = []
    places: dict[str, str] = {}
    for source, text, named in _named_texts(file):
        if is_blank(text):
            raise InputError(f"{source}: the query must not be blank")
        query = Query(text, named or str(len(queries) + 1))
        assert query.id is not None
        if query.id in places:
            raise InputError(f"{source}: the id {query.id!r} is that of {places[query.id]} too")
        places[query.id] = source
        queries.append(query)
    if not queries:
        raise InputError(f"{file}: holds no queries")
    return queries


def _named_texts(file: str) -> Iterator[tuple[str, str, str | None]]:
    """Source, text and id of each query."""
    name = "stdin" if file == STDIN else file
    form = RECORDS.get(ending(file), "")
    entries: Iterable[Entry]
    if ending(file) == "parquet":
        entries = ParquetRows(file)
    else:
        text = read_text(file)
        form = form or ("jsonl" if looks_like_json_lines(text) else "")
        if not form:
            for number, line in enumerate(text.split("\n"), start=1):
                if line.strip():
                    yield f"{name}:{number}", line.strip(), None
            return
        entries = READERS[form](text, name, _field_of_table(text) if form in ("csv", "tsv") else QUERY_FIELDS[0])
    for source, entry in entries:
        if isinstance(entry, str):
            yield source, entry, None
            continue
        field = next((each for each in QUERY_FIELDS if each in entry), QUERY_FIELDS[0])
        if field not in entry:
            raise InputError(
                f"{source}: none of the fields {', '.join(QUERY_FIELDS)} (its fields: "
                f"{', '.join(map(repr, entry)) or 'none':.200})"
            )
        found = next((each for each in _ID_FIELDS if entry.get(each) is not None), None)
        named = id_of(entry, source, found)
        yield source, text_of(entry, source, field).strip(), None if named is None else str(named)


def _field_of_table(text: str) -> str:
    """The first of the fields for queries that the header names, whatever separates its columns."""
    header = text.lstrip("\n").partition("\n")[0]
    columns = {column.strip().strip('"').strip() for column in re.split("[,;\t]", header)}
    return next((each for each in QUERY_FIELDS if each in columns), QUERY_FIELDS[0])
