"""`score -o FOLDER/`: parts of pairs with their logits and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.job_run import run_job
from qwen3_reranker.cli.opened_reranker import ChosenCalibration, is_server, open_reranker, unusual, warnings_noted
from qwen3_reranker.cli.record_output import columns_of, opened_records
from qwen3_reranker.cli.score_report import SCORES, scored_records
from qwen3_reranker.cli.shared_options import ModelOptions
from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.pairs import Pair, PairOptions, pairs_of, pairs_with_queries_whole
from qwen3_reranker.parquet import ParquetRows

if TYPE_CHECKING:
    from qwen3_reranker.jobs.job_folder import JobFolder, JobInput
    from qwen3_reranker.jobs.part_scores import PartScores


def score_into_folder(
    folder: str,
    options: PairOptions,
    job: JobOptions,
    writer: ScoredPartWriter,
    model: ModelOptions,
    engine: EngineOptions,
    server: ServerOptions,
) -> None:
    """Run a job to its end and print what it took. Raises what `run_job` raises."""
    from qwen3_reranker.jobs.part_task import ScoreTask

    if is_server(model.model) and job.engine == "ray":
        raise InputError("workers of --engine ray open models, and a server has its own: leave --engine out")
    # Options of the kind that the model is not are refused where it is opened.
    chosen = {**unusual(engine), **asdict(server)} if is_server(model.model) else asdict(engine)
    task = ScoreTask(model=model.model, revision=model.revision, options=chosen, instruction=options.instruction)
    with warnings_noted():
        run_job(
            folder,
            pairs_input(writer.stream, options, job.part_rows),
            task,
            job,
            writer.form,
            unit="pairs",
            settings=partial(_settings, model, engine, server, options.instruction, writer.calibrated),
            write=writer.write,
        )


def pairs_input(stream: RecordStream, options: PairOptions, part_rows: int) -> JobInput[Pair]:
    """The pairs of a stream, as a job reads them."""
    from qwen3_reranker.jobs.job_folder import JobInput

    fields = {"query_field": options.query_field, "document_field": options.document_field}
    return JobInput(
        stream=stream,
        rows=lambda: pairs_of(stream, options),
        cut=lambda pairs: pairs_with_queries_whole(pairs, part_rows),
        settings={"part_rows": part_rows, **fields},
    )


def _settings(
    model: ModelOptions,
    engine: EngineOptions,
    server: ServerOptions,
    instruction: str | None,
    calibrated: ChosenCalibration | None,
) -> Mapping[str, Any]:
    """What the scores depend on. The model's files are read, but no weights are loaded.

    Raises CalibrationError for a calibration of another model or instruction.
    """
    from qwen3_reranker.jobs.job_settings import score_settings

    with open_reranker(model, engine, server, plan_only=True) as reranker:
        settings = {"model": model.model, **score_settings(reranker, instruction)}
        if calibrated is not None:
            calibrated.refuse_other(reranker, instruction)
            settings["calibration"] = calibrated.calibration.fingerprint
        return settings


class ScoredPartWriter:
    """Writes parts that all have the columns of the first, and of Parquet the types of the input.

    calibrated: what gives the probabilities; None for the model.
    """

    def __init__(self, form: str, stream: RecordStream, calibrated: ChosenCalibration | None = None) -> None:
        self.form, self.stream, self.calibrated = form, stream, calibrated
        self._known = ParquetRows(stream.path).schema if form == stream.form == "parquet" else None
        self._columns: Any = None

    def write(self, parts: JobFolder[Pair], number: int, pairs: Sequence[Pair], scores: PartScores, path: Path) -> None:
        if self._columns is None:
            like = [{**pair.record, **dict.fromkeys(SCORES, 0.0)} for pair in parts.first_rows]
            self._columns = columns_of(self.form, like, SCORES, known=self._known)
        with opened_records(self.form, path, self._columns) as write:
            write(scored_records(pairs, scores.logits_N, self.calibrated))
