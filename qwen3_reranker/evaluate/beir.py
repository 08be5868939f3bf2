"""Folders: BEIR's layout (corpus.jsonl, queries.jsonl, qrels/) and TREC's (topics, qrels, corpus.jsonl or .tsv)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.trec import read_qrels, read_topics
from qwen3_reranker.json_object import read_object
from qwen3_reranker.text_lines import columns, objects, string

_IDS = ("_id", "id", "docid", "docno")
_BODIES = ("text", "contents", "body")


def is_set(folder: Path) -> bool:
    """Whether the folder itself holds a set: judgements, and queries."""
    return bool(_qrels_files(folder)) and _queries_file(folder) is not None


def read_folder(folder: Path, name: str | None = None, qrels: Path | None = None) -> LabelledSet:
    """The set in a folder. qrels: which judgements, None for those named test, or the only ones.

    A document is its title, on a line of its own, and its text. meta.json may hold a name, which `name` overrides, an
    instruction and a language; a query's metadata may hold its own. Raises InputError for missing files, queries
    without text, and lines that are damaged.
    """
    queries_file = _queries_file(folder)
    if queries_file is None:
        raise InputError(f"{folder}: expected queries.jsonl or topics, found neither")
    instructions: dict[str, str] = {}
    if queries_file.suffix == ".jsonl":
        queries = dict(_queries(queries_file, instructions))
    else:
        queries = read_topics(queries_file)
    labels = read_qrels(qrels or _chosen(folder))
    if unknown := [query for query in labels if query not in queries]:
        raise InputError(
            f"{folder}: {len(unknown):,} judged queries have no text, such as {unknown[0]!r}; are these judgements of "
            "other queries?"
        )
    meta = read_object(folder / "meta.json") if (folder / "meta.json").is_file() else {}
    instruction, language = meta.get("instruction"), meta.get("language")
    return LabelledSet(
        name=name or (meta["name"] if isinstance(meta.get("name"), str) else folder.resolve().name),
        qrels=labels,
        queries={query: queries[query] for query in labels},
        documents=dict(_documents(folder)),
        instruction=instruction if isinstance(instruction, str) else None,
        instructions={query: instructions[query] for query in labels if query in instructions},
        language=language if isinstance(language, str) else "",
    )


def _queries_file(folder: Path) -> Path | None:
    found = [folder / "queries.jsonl", *sorted(folder.glob("topics*"))]
    return next((path for path in found if path.is_file()), None)


def _qrels_files(folder: Path) -> list[Path]:
    inside = sorted((folder / "qrels").glob("*.tsv")) if (folder / "qrels").is_dir() else []
    return inside or sorted(path for path in folder.glob("*qrels*") if path.is_file())


def _chosen(folder: Path) -> Path:
    found = _qrels_files(folder)
    tests = [path for path in found if path.stem == "test"]
    if len(tests or found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{folder}: expected one file of judgements, or one named test, found {names}; name the file")
    return (tests or found)[0]


def _queries(path: Path, instructions: dict[str, str]) -> Iterator[tuple[str, str]]:
    for place, fields in objects(path):
        query = string(fields, _IDS, place)
        metadata: Any = fields.get("metadata")
        own = fields.get("instruction") or (metadata.get("instruction") if isinstance(metadata, dict) else None)
        if isinstance(own, str):
            instructions[query] = own
        yield query, string(fields, ("text", "query"), place)


def _documents(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "corpus.jsonl"
    if not path.is_file():
        tables = sorted(folder.glob("*corpus*.tsv")) + sorted(folder.glob("collection*.tsv"))
        if not tables:
            raise InputError(f"{folder}: expected corpus.jsonl or collection.tsv, found neither")
        yield from ((parts[0], parts[1]) for _, parts in columns(tables[0], (2,), "an id, a tab and a text", "\t"))
        return
    yield from _corpus_lines(path)


def read_corpus(path: Path) -> dict[str, str]:
    """Documents by id: JSON lines of an id, a text and perhaps a title. Raises InputError for other lines or none."""
    documents = dict(_corpus_lines(path))
    if not documents:
        raise InputError(f"{path}: expected a document a line, got none")
    return documents


def _corpus_lines(path: Path) -> Iterator[tuple[str, str]]:
    for place, fields in objects(path):
        title = fields.get("title") or ""
        body = string(fields, _BODIES, place)
        yield string(fields, _IDS, place), f"{title}\n{body}" if isinstance(title, str) and title else body
