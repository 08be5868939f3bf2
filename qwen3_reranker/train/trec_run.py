"""A TREC run -> the candidates of each query with their scores, best first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qwen3_reranker.evaluate import trec


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
