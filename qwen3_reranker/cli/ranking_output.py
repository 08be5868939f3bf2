"""A ranking -> JSON, JSON Lines or tab-separated values, for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from qwen3_reranker.cli.documents import Document
from qwen3_reranker.cli.terminal import visible
from qwen3_reranker.records import Ranking
from qwen3_reranker.row_table import Column, RowTable

# JSON allows these, but some readers would take one for the end of a line, and a terminal might obey it.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_TOKENS = ("document_tokens", "kept_tokens", "query_tokens", "kept_query_tokens", "is_lower_bound")
_TSV_COLUMNS = ("rank", "index", "logit", "probability", "source", "document", *_TOKENS, "id")


@dataclass(frozen=True, slots=True)
class RankingReport:
    """What `rank` found. `documents` are all that were read; `seconds` is the time the ranking took."""

    query: str
    instruction: str | None
    model: str
    documents: Sequence[Document]
    ranking: Ranking
    max_length: int
    seconds: float


def write_ranking(report: RankingReport, form: str, stream: TextIO) -> None:
    """Write the report as "table", "json" (one object), "jsonl" (one hit a line) or "tsv" (a header, then the same)."""
    if form == "table":
        from qwen3_reranker.cli.ranking_table import write_ranking_table

        write_ranking_table(report, stream)
        return
    ascii_only = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"
    if form == "json":
        whole = {
            "query": report.query,
            "instruction": report.instruction,
            "model": report.model,
            "results": list(_entries(report)),
            "usage": asdict(report.ranking.usage),
        }
        stream.write(_json(whole, ascii_only, indent=2) + "\n")
    elif form == "jsonl":
        stream.writelines(_json(entry, ascii_only) + "\n" for entry in _entries(report))
    else:
        assert form == "tsv", form
        rows = [[str(entry.get(name, "")) for name in _TSV_COLUMNS] for entry in _entries(report)]
        stream.write(RowTable([Column(name) for name in _TSV_COLUMNS], rows).tsv(visible))


def _entries(report: RankingReport) -> Iterator[dict[str, Any]]:
    for rank, hit in enumerate(report.ranking, start=1):
        document = report.documents[hit.index]
        yield {
            "rank": rank,
            "index": hit.index,
            "logit": _shortest(hit.logit),
            "probability": _shortest(hit.probability),
            "document": hit.document,
            "source": document.source,
            **{name: getattr(hit.receipt, name) for name in _TOKENS},
            **({} if document.id is None else {"id": document.id}),
            **({} if document.record is None else {"record": document.record}),
        }


def _shortest(value: float) -> float:
    """The fewest digits that give the same float32: 6.21 rather than 6.210000038146973."""
    import numpy as np

    return float(str(np.float32(value)))


def _json(value: object, ascii_only: bool, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
