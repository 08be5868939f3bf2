"""`score`: pairs of a query and a document -> each pair with its logit and probability, as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.dry_run import SAMPLED_ROWS, dry_run_option, estimate, write_estimate
from qwen3_reranker.cli.job_run import folder_of
from qwen3_reranker.cli.opened_reranker import (
    chosen_calibration,
    download,
    is_server,
    open_reranker,
    refuse_server_options,
    row_limit,
    warnings_noted,
)
from qwen3_reranker.cli.output_file import format_of
from qwen3_reranker.cli.rate_text import seconds_text
from qwen3_reranker.cli.record_output import record_output
from qwen3_reranker.cli.score_job import ScoredPartWriter, score_into_folder
from qwen3_reranker.cli.score_report import SCORES, WorkTally, scored_records
from qwen3_reranker.cli.shared_options import CalibratedOptions, ModelOrServerOptions, output_option
from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.documents.record_stream import FORMATS, RecordStream
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.pairs import Pair, PairOptions, pairs_of
from qwen3_reranker.option_fields import option
from qwen3_reranker.overlap import made_ahead

if TYPE_CHECKING:
    from qwen3_reranker.jobs.part_scores import PartScores
    from qwen3_reranker.records import Row
    from qwen3_reranker.reranker import Reranker
    from qwen3_reranker.text_reranker import TextReranker

# Pairs and characters that are read, computed and written before the next.
_PAIRS, _CHARACTERS = 1024, 4_000_000
_ENDINGS = {"jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "tsv", "parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class ScoreOutput:
    """Where the scored pairs go: a stream, a file, or the folder of a job."""

    form: str | None = option(
        None,
        "How to write the pairs.",
        choices=FORMATS,
        flag="--format",
        shown="that of the ending of -o FILE, that of PAIRS for -o FOLDER/, otherwise jsonl",
        group="Output",
    )
    output: str | None = output_option(
        "The scored pairs go to FILE, which gets its name when all are scored, or in parts to FOLDER/."
    )
    dry_run: bool = dry_run_option()


@declared
def score(
    pairs: Annotated[str, Argument(metavar="PAIRS")],
    *,
    options: PairOptions,
    calibration: CalibratedOptions,
    output: ScoreOutput,
    job: JobOptions,
    model: ModelOrServerOptions,
    engine: EngineOptions,
    server: ServerOptions,
) -> None:
    """Score pairs of a query and a document.

    PAIRS is a file of records or its URL, a pipe, or - for standard input: JSON lines, CSV or TSV with a header, or
    Parquet. Each record holds a query and a document, and comes back with logit and probability, in the order of the
    input. Files of any size are read and written a part at a time. Pairs of one query are fastest when they stand
    together.

    A file is checked to its end before anything is computed. If scoring is interrupted, what was scored stays in
    FILE.part.

    With -o FOLDER/ it is a job: each part of the pairs becomes a file of the folder. The same command goes on
    where a job was stopped. --engine ray computes parts on a cluster, with the same result. The folder may be on object
    storage.

    Examples:
      qwen3-reranker score pairs.jsonl -o scored.jsonl
      qwen3-reranker score clicks.parquet -o scored.parquet --document-field title
      qwen3-reranker score pairs.parquet -o scored/ --engine ray --price-per-hour 1.50
      qwen3-reranker score pairs.parquet -o scored/ --calibrated fit.json
      qwen3-reranker score s3://bucket/pairs.parquet -o s3://bucket/scored/
      qwen3-reranker score pairs.tsv --dry-run -m Qwen/Qwen3-Reranker-0.6B
      zcat pairs.jsonl.gz | qwen3-reranker score - | gzip > scored.jsonl.gz
    """
    stream = RecordStream(pairs, options.input_format)
    refuse_server_options(model, server)
    if is_server(model.model) and output.dry_run:
        raise InputError("--dry-run needs the model on this machine; a server takes texts and gives scores")
    calibrated = chosen_calibration(calibration, model)
    if (folder := folder_of(output.output, job)) is not None and not output.dry_run:
        writer = ScoredPartWriter(output.form or stream.form, stream, calibrated)
        score_into_folder(folder, options, job, writer, model, engine, server)
        return
    form = format_of(output.form, output.output, _ENDINGS, "jsonl")
    from qwen3_reranker.cli.progress import ProgressBar

    # Rows that appear on a terminal are progress enough.
    shown = output.output is None and on_terminal(sys.stdout)
    with nullcontext() if shown else ProgressBar("reading pairs") as bar:
        read = pairs_of(stream, options)
        count, sample = (0, []) if stream.reads_once and not output.dry_run else _counted(read)
        from qwen3_reranker.reranker import Reranker

        download(model)
        with warnings_noted(), open_reranker(model, engine, server) as reranker:
            limit = row_limit(reranker)
            if calibrated is not None:
                calibrated.refuse_other(reranker, options.instruction)
            if output.dry_run:
                assert isinstance(reranker, Reranker)
                found = estimate(reranker, _rows(reranker, sample, options.instruction), count)
            else:
                if bar is not None:
                    bar.stage("scoring", f"{count:,} pairs" if count else "pairs")
                total = WorkTally()
                start = time.perf_counter()
                parts = _parts(read if stream.reads_once else pairs_of(stream, options))
                if isinstance(reranker, Reranker):
                    prepared = ((part, _rows(reranker, part, options.instruction)) for part in parts)
                    # Ctrl-C need not wait for a pipe that is silent.
                    scored = _scored(reranker, prepared if stream.reads_once else made_ahead(prepared))
                else:
                    scored = _scored_texts(reranker, parts, options.instruction)
                with record_output(form, output.output, float32=SCORES) as write:
                    for part, scores in scored:
                        write(scored_records(part, scores.logits_N, calibrated))
                        total.add(len(part), scores)
                        if bar is not None and count:
                            bar(total.rows / count)
                seconds = time.perf_counter() - start
    if output.dry_run:
        write_estimate(found, "pairs", None)
        return
    if output.output is not None:
        print(_summary(total, seconds))
    elif total.cut:
        note(f"{total.cut:,} of {total.rows:,} documents cut to fit {limit:,} tokens")


def _counted(pairs: Iterable[Pair]) -> tuple[int, list[Pair]]:
    """How many pairs there are, and the first of them. All are checked."""
    count, sample = 0, []
    for count, pair in enumerate(pairs, start=1):
        if count <= SAMPLED_ROWS:
            sample.append(pair)
    return count, sample


def _parts(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    part: list[Pair] = []
    characters = 0
    for pair in pairs:
        part.append(pair)
        characters += len(pair.query) + len(pair.document)
        if len(part) == _PAIRS or characters >= _CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _rows(reranker: Reranker, part: Sequence[Pair], instruction: str | None) -> list[Row]:
    return reranker.rows([pair.query for pair in part], [pair.document for pair in part], instruction)


def _scored(
    reranker: Reranker, prepared: Iterable[tuple[list[Pair], list[Row]]]
) -> Iterator[tuple[list[Pair], PartScores]]:
    """Each part with its scores."""
    from qwen3_reranker.jobs.part_scores import score_rows

    for part, rows in prepared:
        yield part, score_rows(reranker, rows)


def _scored_texts(
    reranker: TextReranker, parts: Iterable[list[Pair]], instruction: str | None
) -> Iterator[tuple[list[Pair], PartScores]]:
    """The same of a server, which takes texts."""
    from qwen3_reranker.jobs.part_scores import score_texts

    for part in parts:
        yield part, score_texts(reranker, [pair.query for pair in part], [pair.document for pair in part], instruction)


def _summary(total: WorkTally, seconds: float) -> str:
    return " · ".join([f"{total.rows:,} pairs", *total.token_facts, seconds_text(seconds)])
