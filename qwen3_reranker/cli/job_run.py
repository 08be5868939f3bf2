"""-o FOLDER/ of `score` and `embed`: a job, whose parts are files; computed here or on Ray, and gone on with."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.rate_text import seconds_text
from qwen3_reranker.cli.score_report import WorkTally
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.storage_urls import is_url

if TYPE_CHECKING:
    from qwen3_reranker.jobs.job_folder import JobFolder, JobInput
    from qwen3_reranker.jobs.local_parts import NumberedPart
    from qwen3_reranker.jobs.part_task import PartTask, PartWork

Row = TypeVar("Row")
Work = TypeVar("Work", bound="PartWork")
#: Writes what was made of the rows of a part to a file: the folder, the part's number, its rows, the work, the path.
WritePart = Callable[["JobFolder[Row]", int, list[Row], Work, Path], None]


def folder_of(place: str | None, job: JobOptions) -> str | None:
    """The folder of a job, where -o names one: with a slash at its end, or one that is there.

    Raises InputError for options of a job without a folder, and for a URL without a slash.
    """
    if place and (place.endswith(("/", os.sep)) or os.path.isdir(place)):
        return place
    if place and is_url(place):
        raise InputError(f"{place}: a URL gets the parts of a job; name a folder: -o {place}/")
    given = next((each.name for each in fields(job) if getattr(job, each.name) != each.default), None)
    if given is not None:
        raise InputError(f"--{given.replace('_', '-')} is for a job, which goes to a folder: -o {place or 'scored'}/")
    return None


def run_job(
    folder: str,
    given: JobInput[Row],
    task: PartTask[Row, Work],
    job: JobOptions,
    form: str,
    *,
    unit: str,
    settings: Callable[[], Mapping[str, Any]],
    write: WritePart[Row, Work],
) -> None:
    """Run a job to its end and print what it took. Raises what `jobs.job_folder.opened` and the engines raise.

    unit: what the rows are, such as "pairs". settings: as `opened`.
    """
    from qwen3_reranker.jobs.job_files import job_files
    from qwen3_reranker.jobs.job_folder import opened

    tally = WorkTally()
    with ProgressBar(f"reading {unit}") as bar, opened(job_files(folder), given, form, settings) as parts:
        total = sum(parts.counts)
        bar.stage("computing", f"{total - parts.rows_done:,} {unit}")
        start = time.perf_counter()
        try:
            # Models are not opened for nothing.
            if not all(parts.done):
                with _engine(job, task) as worked:
                    for (number, rows), work in worked(parts.parts_left()):
                        parts.write(number, partial(write, parts, number, rows, work))
                        tally.add(len(rows), work)
                        bar((parts.rows_done + tally.rows) / total)
        except BaseException:
            note(f"{parts.rows_done + tally.rows:,} of {total:,} {unit} are done; the same command goes on from there")
            raise
        seconds = time.perf_counter() - start
    print(_summary(tally, parts.rows_done, seconds, job, unit))


@contextmanager
def _engine(
    job: JobOptions, task: PartTask[Row, Work]
) -> Iterator[Callable[[Iterator[NumberedPart]], Iterator[tuple[NumberedPart, Work]]]]:
    """What works on parts."""
    if job.engine == "ray":
        from qwen3_reranker.jobs.ray_workers import RayWorkers

        # Ray prints to standard output that a worker has died.
        with redirect_stdout(sys.stderr), RayWorkers(task, job) as workers:
            yield workers.worked
        return
    from qwen3_reranker.jobs.local_parts import worked_here

    with task.open() as model:
        yield lambda parts: worked_here(parts, task, model)


def _summary(tally: WorkTally, rows_done: int, seconds: float, job: JobOptions, unit: str) -> str:
    facts = [f"{tally.rows:,} {unit}"]
    if rows_done:
        facts[0] += f" (and {rows_done:,} done before)"
    facts += [*tally.token_facts, seconds_text(seconds)]
    if tally.rows:
        tokens = f", {tally.tokens / seconds:,.0f} tokens/s" if tally.tokens else ""
        facts.append(f"{tally.rows / seconds:,.0f} {unit}/s{tokens}")
        if job.price_per_hour is not None:
            facts.append(f"{job.price_per_hour * seconds / 3600 / tally.rows * 1e6:,.2f} a million {unit}")
    return " · ".join(facts)
