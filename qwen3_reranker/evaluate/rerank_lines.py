"""JSON lines of queries with documents -> a labelled set with its own lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.text_lines import objects, string

POSITIVES = ("positive", "positives", "pos")
NEGATIVES = ("negative", "negatives", "neg")
LISTS = ("documents", "candidates", "docs")


def read_rerank_lines(path: Path, name: str) -> LabelledSet:
    """A set of lines {"query", "positive", "negative"} or {"query", "documents", "labels" or "positive"}.

    positive and negative are a text or several, and make a list in no order: whatever was their order in the file, all
    score alike. `documents` is a list in the order of a first stage, which labels ({0, 1, 2, ...}) or "positive" judge;
    a positive that the list lacks was not found. A line may have an "id" and an "instruction". The same text is the
    same document everywhere. Raises InputError for a line of another shape.
    """
    queries: dict[str, str] = {}
    instructions: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    lists: dict[str, dict[str, float]] = {}
    id_of: dict[str, str] = {}

    def ids(texts: list[str]) -> list[str]:
        return [id_of.setdefault(text, f"d{len(id_of) + 1}") for text in texts]

    for number, (place, fields) in enumerate(objects(path), start=1):
        query = string(fields, ("id", "query_id"), place) if fields.keys() & {"id", "query_id"} else f"q{number}"
        if query in queries:
            raise InputError(f"{place}: the id {query!r} was given to a line above")
        queries[query] = string(fields, ("query",), place)
        if fields.get("instruction") is not None:
            instructions[query] = string(fields, ("instruction",), place)
        positives, negatives, listed = (ids(_texts(fields, names, place)) for names in (POSITIVES, NEGATIVES, LISTS))
        labels = fields.get("labels")
        if labels is not None:
            qrels[query] = dict(zip(listed, _labels(labels, len(listed), place), strict=True))
        else:
            if not positives:
                raise InputError(f'{place}: expected "positive" or "labels", which say what is relevant')
            qrels[query] = {**dict.fromkeys(negatives, 0), **dict.fromkeys(positives, 1)}
        if listed:
            lists[query] = {document: float(-place) for place, document in enumerate(dict.fromkeys(listed))}
        else:
            lists[query] = dict.fromkeys((*positives, *negatives), 0.0)
        if len(lists[query]) < 2:
            raise InputError(f"{place}: expected at least two documents to rank, got {len(lists[query])}")
    return LabelledSet(
        name=name,
        qrels=qrels,
        queries=queries,
        documents={document: text for text, document in id_of.items()},
        instructions=instructions,
        candidates=lists,
    )


def _texts(fields: Mapping[str, Any], names: tuple[str, ...], place: str) -> list[str]:
    value: Any = next((fields[name] for name in names if fields.get(name) is not None), [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise InputError(f"{place}: {names[0]} must be a text or a list of texts, got {type(value).__name__}")
    return [
        string(text, ("text",), place) if isinstance(text, dict) else _text(text, names[0], place) for text in texts
    ]


def _text(value: object, name: str, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}: {name} must hold texts, got {type(value).__name__}")
    return value


def _labels(value: object, count: int, place: str) -> list[int]:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{place}: labels must be a list of one whole number for each document")
    for label in value:
        if not isinstance(label, int):
            raise InputError(f"{place}: labels must be whole numbers, got {label!r:.40}")
    return [int(label) for label in value]
