"""A TREC run -> the candidates of each query with their scores, best first; and a corpus by id."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from qwen3_reranker.errors import InputError
from qwen3_reranker.train.examples import json_lines, text_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that a first stage found, and its score there."""

    document: str
    score: float


def read_run(path: str | os.PathLike[str]) -> dict[str, list[Candidate]]:
    """Candidates by query id, by falling score: lines of `query Q0 document rank score tag`; raises InputError."""
    found: dict[str, list[Candidate]] = {}
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if fields := line.split():
                    found.setdefault(fields[0], []).append(_candidate(fields, f"{name}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not found:
        raise InputError(f"{name}: expected lines of `query Q0 document rank score tag`, got none")
    return {query: sorted(some, key=lambda each: -each.score) for query, some in found.items()}


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


def _candidate(fields: list[str], place: str) -> Candidate:
    try:
        score = float(fields[4])
    except (IndexError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{place}: expected `query Q0 document rank score tag`, got {' '.join(fields)[:80]!r}")
    return Candidate(fields[2], score)
