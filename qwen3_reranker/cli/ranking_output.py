"""Rankings -> a table, JSON, JSON Lines, tab-separated values, TREC's lines or Parquet, as they come."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from qwen3_reranker.cli.documents import Document
from qwen3_reranker.cli.opened_reranker import row_limit
from qwen3_reranker.cli.terminal import visible
from qwen3_reranker.cli.why_options import WhyOptions
from qwen3_reranker.parquet import ParquetOutput
from qwen3_reranker.records import Ranking, Usage
from qwen3_reranker.row_table import Column, RowTable

if TYPE_CHECKING:
    from qwen3_reranker.explanation import Explanation
    from qwen3_reranker.remote.remote_reranker import RemoteReranker
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.selection import Selection
    from qwen3_reranker.text_reranker import TextReranker

# JSON allows these, but some readers would take one for the end of a line, and a terminal might obey it.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_TOKENS = ("document_tokens", "kept_tokens", "query_tokens", "kept_query_tokens", "is_lower_bound")
_OF_SENTENCES = ("alone", "logit_without", "contribution")
_TSV_COLUMNS = ("rank", "index", "logit", "probability", "source", "document", *_TOKENS, "id")


@dataclass(frozen=True, slots=True)
class RankingReport:
    """What `rank` found. `documents` are all that were read; `seconds` is the time the ranking took.

    query_id: the name of one of several queries. least: the probability that a hit had to have. max_length: None where
    a server cuts, and does not say where. calibration: the file that gave the probabilities; None for the model's own.
    explanations: of each hit, where they were asked for, and the seconds they took. then: the model that scored the
    hits, where `model` was the first of two. selection: where the hits were chosen by more than their order.
    """

    query: str
    instruction: str | None
    model: str
    documents: Sequence[Document]
    ranking: Ranking
    max_length: int | None
    seconds: float
    query_id: str | None = None
    least: float | None = None
    calibration: str | None = None
    explanations: tuple[tuple[Explanation, ...], ...] | None = None
    explaining_seconds: float = 0
    then: str | None = None
    selection: Selection | None = None

    @classmethod
    def of(
        cls,
        reranker: Reranker | RemoteReranker,
        model: str,
        documents: Sequence[Document],
        instruction: str | None,
        least: float | None,
    ) -> RankingReport:
        """What the reports of all queries have, without a query and a ranking."""
        named = reranker.default_instruction if instruction is None else instruction
        nothing = Ranking((), Usage(0, 0, 0, 0))
        limit = row_limit(reranker)
        return cls("", named, model, documents, nothing, limit, 0, least=least)

    def with_ranking(self, query: str, query_id: str | None, ranking: Ranking, seconds: float) -> RankingReport:
        """The same for a query, without the hits that are less likely than `least`."""
        if self.least is not None:
            # In the digits that are printed a hit has the probability that it had to have.
            hits = tuple(hit for hit in ranking if shortest(hit.probability) >= self.least)
            ranking = replace(ranking, hits=hits)
        return replace(self, query=query, query_id=query_id, ranking=ranking, seconds=seconds)

    def selected(self, top_k: int | None, options: Mapping[str, Any]) -> RankingReport:
        """The same with the hits that `select` chooses by these options."""
        from qwen3_reranker.selection import select

        selection = select(self.ranking, top_k, **options)
        return replace(self, ranking=replace(self.ranking, hits=selection.hits), selection=selection)

    def explained_by(self, reranker: TextReranker, instruction: str | None, why: WhyOptions) -> RankingReport:
        """The same with explanations of each hit."""
        begun = time.perf_counter()
        explanations = tuple(
            why.explained(partial(reranker.explain, self.query, hit.document), instruction) for hit in self.ranking
        )
        return replace(self, explanations=explanations, explaining_seconds=time.perf_counter() - begun)


class RankingWriter:
    """Writes the reports of one query, or of several, as "table", "json", "jsonl", "tsv" or "trec".

    JSON of several queries is a list of what one query gives, and tables and TSV have the query's id.
    """

    def __init__(self, form: str, stream: TextIO, *, several: bool) -> None:
        self._form, self._stream, self._several = form, stream, several
        self._ascii_only = is_ascii_only(stream)
        self._whole: list[dict[str, Any]] = []
        self._is_begun = False

    def write(self, report: RankingReport) -> None:
        """Write what was found for one query."""
        stream, first, self._is_begun = self._stream, not self._is_begun, True
        if self._form == "table":
            from qwen3_reranker.cli.ranking_table import write_ranking_table

            stream.write("" if first else "\n")
            write_ranking_table(report, stream)
        elif self._form == "json":
            self._whole.append(_object(report))
        elif self._form == "jsonl":
            stream.writelines(json_text(entry, self._ascii_only) + "\n" for entry in entries(report))
        elif self._form == "trec":
            stream.writelines(_run_lines(report))
        else:
            assert self._form == "tsv", self._form
            is_folded = report.selection is not None and report.selection.options.fold is not None
            names = ["query_id"] * self._several + [*_TSV_COLUMNS] + ["judged_by"] * (report.then is not None)
            names += ["duplicates"] * is_folded
            found = [{**entry, "duplicates": _joined(entry.get("duplicates", ()))} for entry in entries(report)]
            rows = [[str(entry.get(name, "")) for name in names] for entry in found]
            lines = RowTable([Column(name) for name in names], rows).tsv(visible)
            stream.write(lines if first else lines.partition("\n")[2])

    def close(self) -> None:
        """Write what can be written only at the end."""
        if self._form == "json":
            whole = self._whole if self._several else self._whole[0]
            self._stream.write(json_text(whole, self._ascii_only, indent=2) + "\n")


class RankingParquet:
    """Writes the reports of one query, or of several, to a Parquet file, a row for each hit, without its record."""

    def __init__(self, path: Path) -> None:
        self._output = ParquetOutput(path, float32=("logit", "probability"))

    def write(self, report: RankingReport) -> None:
        """Write what was found for one query."""
        rows = []
        for entry in entries(report):
            entry.pop("record", None)
            if "duplicates" in entry:
                entry["duplicates"] = _joined(entry["duplicates"])
            # A column has one type, and ids of several files may be numbers and texts.
            rows.append({**entry, "id": None if entry.get("id") is None else str(entry["id"]), "query": report.query})
        self._output.write(rows)

    def close(self) -> None:
        """End the file."""
        self._output.close()


def _object(report: RankingReport) -> dict[str, Any]:
    return {
        **({} if report.query_id is None else {"query_id": report.query_id}),
        "query": report.query,
        "instruction": report.instruction,
        "model": report.model,
        **({} if report.then is None else {"then": report.then}),
        **({} if report.calibration is None else {"calibration": report.calibration}),
        "results": list(entries(replace(report, query_id=None))),
        "usage": asdict(report.ranking.usage),
        **({} if report.selection is None else {"selection": report.selection.to_dict()}),
        **({} if report.ranking.screening is None else {"screening": asdict(report.ranking.screening)}),
        **({} if report.ranking.cascade is None else {"cascade": asdict(report.ranking.cascade)}),
    }


def _run_lines(report: RankingReport) -> Iterator[str]:
    """A line for each document. Of several passages of one record it is the best one, as a run names no passages."""
    from qwen3_reranker.evaluate.trec import run_line

    names = [name.rstrip("/").rpartition("/")[2] for name in (report.model, report.then) if name]
    tag = re.sub(r"\s", "_", "+".join(filter(None, names))) or "qwen3_reranker"
    named: dict[str, float] = {}
    for hit in report.ranking:
        document = report.documents[hit.index]
        named.setdefault(str(document.source if document.id is None else document.id), shortest(hit.logit))
    for rank, (name, logit) in enumerate(named.items(), start=1):
        yield run_line(report.query_id or "1", name, rank, logit, tag)


def entries(report: RankingReport) -> Iterator[dict[str, Any]]:
    """Each hit as an object of JSON."""
    named = {} if report.query_id is None else {"query_id": report.query_id}
    selection = report.selection
    for place, hit in enumerate(report.ranking):
        document = report.documents[hit.index]
        rank = place + 1 if selection is None else selection.ranks[place]
        yield {
            **named,
            "rank": rank,
            "index": hit.index,
            "logit": shortest(hit.logit),
            "probability": shortest(hit.probability),
            "document": hit.document,
            "source": document.source,
            **{name: getattr(hit.receipt, name) for name in _TOKENS},
            **({} if document.id is None else {"id": document.id}),
            **({} if document.record is None else {"record": document.record}),
            **({} if report.then is None else {"judged_by": report.then}),
            **({} if report.explanations is None else explanation_fields(report.explanations[place])),
            **({} if selection is None or selection.options.fold is None else {"duplicates": list(hit.duplicates)}),
        }


def _joined(indexes: Sequence[int]) -> str:
    return ",".join(map(str, indexes))


def explanation_fields(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """The fields of a hit in JSON that explain it."""
    own, *others = explanations
    found: dict[str, Any] = {"sentences": _sentences(own)}
    if others:
        found["other_instructions"] = [
            {"instruction": each.instruction, "logit": shortest(each.logit), "sentences": _sentences(each)}
            for each in others
        ]
    return found


def _sentences(explanation: Explanation) -> list[dict[str, Any]]:
    sentences: list[dict[str, Any]] = explanation.to_dict()["sentences"]
    numbers = [{name: shortest(each[name]) for name in _OF_SENTENCES if each[name] is not None} for each in sentences]
    return [{**each, **some} for each, some in zip(sentences, numbers, strict=True)]


def shortest(value: float) -> float:
    """The fewest digits that give the same float32: 6.21 rather than 6.210000038146973."""
    import numpy as np

    return float(str(np.float32(value)))


def is_ascii_only(stream: TextIO) -> bool:
    """Whether JSON has to be escaped, as a stream of another encoding than UTF-8 may lack a letter."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") != "utf8"


def json_text(value: object, ascii_only: bool, indent: int | None = None) -> str:
    """JSON that steers no terminal. What JSON has no word for, as a date of Parquet, is written as text."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, default=str)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
