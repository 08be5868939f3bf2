"""TREC's files: qrels, runs and topics, read and written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.labelled import Run
from qwen3_reranker.text_lines import columns, text_lines, whole_number
from qwen3_reranker.weights.replaced_file import replacing

_TOPIC = re.compile(r"<top>(.*?)</top>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num[^>]*>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_FIELDS = {
    "title": re.compile(r"<title>\s*(?:Topic:)?\s*([^<]+)", re.IGNORECASE),
    "description": re.compile(r"<desc[^>]*>\s*(?:Description:)?\s*([^<]+)", re.IGNORECASE),
}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Labels of TREC's lines `query 0 document label`, or of BEIR's `query-id corpus-id score`.

    Raises InputError for any other line, and for two labels of one pair.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, parts in columns(path, (3, 4), "query, 0, document, label"):
        if parts[-1] == "score" and not qrels:
            continue
        query, document = parts[0], parts[-2]
        label = whole_number(parts[-1], place, "the label")
        if qrels.setdefault(query, {}).setdefault(document, label) != label:
            raise InputError(f"{place}: document {document} of query {query} has a second, other label")
    return qrels


def read_run(path: Path) -> dict[str, dict[str, float]]:
    """Scores of `query Q0 document rank score tag`; ranks are ignored, as trec_eval does.

    Raises InputError for any other line, a score that is no number, and a document listed twice for a query.
    """
    run: dict[str, dict[str, float]] = {}
    for place, parts in columns(path, (5, 6), "query, Q0, document, rank, score, tag"):
        query, document = parts[0], parts[2]
        try:
            score = float(parts[4])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise InputError(f"{place}: expected a number as the score, got {parts[4]!r}")
        if document in run.setdefault(query, {}):
            raise InputError(f"{place}: document {document} is twice in the list of query {query}")
        run[query][document] = score
    if not run:
        raise InputError(f"{path}: holds no run; expected lines of query, Q0, document, rank, score, tag")
    return run


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a run that `read_run` reads back, whole or not at all. Scores keep all their digits."""
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="\n") as file:
        for query, scores in run.items():
            best_first = sorted(scores, key=lambda document: -scores[document])
            for rank, document in enumerate(best_first, start=1):
                file.write(run_line(query, document, rank, scores[document], tag))


def run_line(query: str, document: str, rank: int, score: float, tag: str) -> str:
    """A line of a run. Raises InputError for an id that is empty or holds blanks."""
    for name in (query, document):
        if len(name.split()) != 1 or name != name.strip():
            raise InputError(f"the id {name!r} holds blanks, which a TREC run cannot; rename it")
    return f"{query} Q0 {document} {rank} {score!r} {tag}\n"


def read_topics(path: Path, field: str = "title") -> dict[str, str]:
    """Queries by id, of TREC's tagged topics or tab-separated lines. Raises InputError for others."""
    content = "\n".join(line for _, line in text_lines(path))
    if "<top>" in content.lower():
        return dict(_tagged(path, body, field) for body in _TOPIC.findall(content))
    return {parts[0]: parts[1] for _, parts in columns(path, (2,), "an id, a tab and a query", "\t")}


def _tagged(path: Path, body: str, field: str) -> tuple[str, str]:
    number, text = _NUMBER.search(body), _FIELDS[field].search(body)
    if number is None or text is None:
        raise InputError(f"{path}: a topic without <num> or <{field}>: {' '.join(body.split())[:60]!r}")
    return number[1], " ".join(text[1].split())


def missing_documents(run: Run, documents: Mapping[str, str]) -> int:
    """How many entries of the run's lists name a document without a text."""
    return sum(document not in documents for scores in run.values() for document in scores)
