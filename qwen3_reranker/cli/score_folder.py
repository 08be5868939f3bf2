"""`score -o FOLDER/`: a job, whose parts are files of a folder; computed here or on Ray, and gone on with."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.rate_text import seconds_text
from qwen3_reranker.cli.record_output import columns_of, opened_records
from qwen3_reranker.cli.score_report import SCORES, ScoreTally, scored_records
from qwen3_reranker.cli.shared_options import ModelOptions
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.pairs import PairOptions
from qwen3_reranker.parquet import ParquetRows

if TYPE_CHECKING:
    from qwen3_reranker.jobs.job_folder import JobFolder
    from qwen3_reranker.jobs.local_parts import NumberedPart
    from qwen3_reranker.jobs.part_scores import PartScores
    from qwen3_reranker.reranker import Reranker

Scored = Iterator[tuple["NumberedPart", "PartScores"]]


@dataclass(frozen=True)
class ModelChoice:
    """Which model, and how to run it."""

    model: ModelOptions
    engine: EngineOptions

    def open(self, **more: Any) -> Reranker:
        """The model. Raises what Reranker raises."""
        from qwen3_reranker.reranker import Reranker

        return Reranker(self.model.model, revision=self.model.revision, **asdict(self.engine), **more)


def folder_of(place: str | None, job: JobOptions) -> Path | None:
    """The folder of a job, where -o names one: with a slash at its end, or one that is there.

    Raises InputError for options of a job without a folder.
    """
    if place and (place.endswith(("/", os.sep)) or os.path.isdir(place)):
        return Path(place)
    given = next((each.name for each in fields(job) if getattr(job, each.name) != each.default), None)
    if given is not None:
        raise InputError(f"--{given.replace('_', '-')} is for a job, which goes to a folder: -o {place or 'scored'}/")
    return None


def score_into_folder(
    folder: Path, stream: RecordStream, options: PairOptions, job: JobOptions, form: str, choice: ModelChoice
) -> None:
    """Run a job to its end and print what it took. Raises what `jobs.job_folder.opened` and the engines raise."""
    from qwen3_reranker.jobs.job_folder import opened

    tally = ScoreTally()
    with (
        ProgressBar("reading pairs") as bar,
        opened(folder, stream, options, form, job.part_rows, lambda: _settings(choice, options)) as parts,
    ):
        open_records = _opener(form, ParquetRows(stream.path).schema if form == stream.form == "parquet" else None)
        total = sum(parts.counts)
        bar.stage("scoring", f"{total - parts.rows_done:,} pairs")
        start = time.perf_counter()
        try:
            with _engine(job, choice, options.instruction) as scored:
                for (number, pairs), scores in scored(parts.parts_left()):
                    parts.write(number, scored_records(pairs, scores.logits_N), open_records)
                    tally.add(scores)
                    bar((parts.rows_done + tally.pairs) / total)
        except BaseException:
            note(f"{parts.rows_done + tally.pairs:,} of {total:,} pairs are done; the same command goes on from there")
            raise
        seconds = time.perf_counter() - start
    print(_summary(tally, parts, seconds, job))


def _settings(choice: ModelChoice, options: PairOptions) -> Mapping[str, Any]:
    """What the scores depend on. The model's files are read, but no weights are loaded."""
    from qwen3_reranker.jobs.score_settings import score_settings

    with choice.open(plan_only=True) as reranker:
        return {"model": choice.model.model, **score_settings(reranker, options.instruction)}


@contextmanager
def _engine(
    job: JobOptions, choice: ModelChoice, instruction: str | None
) -> Iterator[Callable[[Iterator[NumberedPart]], Scored]]:
    """What scores parts."""
    if job.engine == "ray":
        from qwen3_reranker.jobs.ray_workers import RayWorkers, WorkerModel

        model, engine = choice.model, asdict(choice.engine)
        described = WorkerModel(model=model.model, revision=model.revision, options=engine, instruction=instruction)
        # Ray prints to standard output that a worker has died.
        with redirect_stdout(sys.stderr), RayWorkers(described, job) as workers:
            yield workers.scored
        return
    from qwen3_reranker.jobs.local_parts import scored_here

    with choice.open() as reranker:
        yield lambda parts: scored_here(parts, reranker, instruction)


def _opener(form: str, known: Any) -> Callable[[Path, Sequence[Mapping[str, Any]]], AbstractContextManager[Any]]:
    """What opens a part. All parts have the columns of the first."""
    columns: Any = None

    def opener(path: Path, like: Sequence[Mapping[str, Any]]) -> AbstractContextManager[Any]:
        nonlocal columns
        if columns is None:
            columns = columns_of(form, [{**each, **dict.fromkeys(SCORES, 0.0)} for each in like], SCORES, known)
        return opened_records(form, path, columns)

    return opener


def _summary(tally: ScoreTally, parts: JobFolder, seconds: float, job: JobOptions) -> str:
    facts = [f"{tally.pairs:,} pairs"]
    if parts.rows_done:
        facts[0] += f" (and {parts.rows_done:,} done before)"
    facts += [*tally.token_facts, seconds_text(seconds)]
    if tally.pairs:
        facts.append(f"{tally.pairs / seconds:,.0f} pairs/s, {tally.tokens / seconds:,.0f} tokens/s")
        if job.price_per_hour is not None:
            facts.append(f"{job.price_per_hour * seconds / 3600 / tally.pairs * 1e6:,.2f} a million pairs")
    return " · ".join(facts)
