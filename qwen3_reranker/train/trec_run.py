"""A TREC run -> the candidates of each query with their scores, best first; and a corpus by id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import trec
from qwen3_reranker.train.examples import json_lines, text_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that a first stage found, and its score there."""

    document: str
    score: float


def read_run(path: str | os.PathLike[str]) -> dict[str, list[Candidate]]:
    """Candidates by query id, by falling score: lines of `query Q0 document rank score tag`; raises InputError."""
    return {
        query: [Candidate(document, score) for document, score in sorted(scores.items(), key=lambda each: -each[1])]
        for query, scores in trec.read_run(Path(path)).items()
    }


def read_corpus(path: str | os.PathLike[str]) -> dict[str, str]:
    """Documents by id from JSON lines of {_id|id, text, title?}, as in BEIR; raises InputError."""
    corpus: dict[str, str] = {}
    for fields, place in json_lines(path):
        key = fields.get("_id", fields.get("id"))
        if not isinstance(key, str | int):
            raise InputError(f"{place}: expected a field _id or id, got {', '.join(sorted(fields)[:8])}")
        text = {name: fields[name] for name in ("text", "title") if fields.get(name)}
        corpus[str(key)] = text_of(text, "text", place)
    if not corpus:
        raise InputError(f"{os.fspath(path)}: expected a document a line, got none")
    return corpus
