"""`embed -o FOLDER/`: parts of vectors, each with the rows that a file of all vectors would have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.documents import Document, DocumentOptions, documents_of
from qwen3_reranker.cli.job_run import run_job
from qwen3_reranker.cli.record_output import columns_of, opened_records
from qwen3_reranker.documents.record_stream import FORMATS, RecordStream
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.pairs import parts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qwen3_reranker.jobs.job_folder import JobFolder
    from qwen3_reranker.jobs.part_task import EmbedTask, PartVectors

_LISTS = ("embedding",)


def embed_into_folder(
    folder: str,
    places: Sequence[str],
    options: DocumentOptions,
    job: JobOptions,
    form: str | None,
    task: EmbedTask,
    engine: EngineOptions,
) -> None:
    """Run a job to its end and print what it took. Raises what `run_job` raises, and InputError for several places."""
    from qwen3_reranker.jobs.job_folder import JobInput
    from qwen3_reranker.jobs.job_settings import embed_settings

    if len(places) != 1:
        raise InputError(f"a job reads one file of records, got {len(places)} places")
    if options.input_format not in ("auto", *FORMATS):
        raise InputError(f"a job reads records of {', '.join(FORMATS)}, got --input-format {options.input_format}")
    stream = RecordStream(places[0], None if options.input_format == "auto" else options.input_format)
    about = {"part_rows": job.part_rows, "field": options.field, "id_field": options.id_field}
    given = JobInput(
        stream=stream,
        rows=lambda: documents_of(stream, options),
        cut=lambda texts: parts_of(texts, job.part_rows, lambda each: len(each.text)),
        settings={**about, "chunk_words": options.passage_words},
    )

    def settings() -> Mapping[str, Any]:
        return {"model": task.model, **embed_settings(task, engine)}

    form = form or ("parquet" if stream.form == "parquet" else "jsonl")
    run_job(folder, given, task, job, form, unit="texts", settings=settings, write=partial(_write, form))


def _write(
    form: str, parts: JobFolder[Document], number: int, texts: Sequence[Document], work: PartVectors, path: Path
) -> None:
    if form == "npy":
        import numpy as np

        with path.open("wb") as file:
            np.save(file, work.vectors_ND)
        return
    first = sum(parts.counts[:number])
    records = list(embedded_records(first, texts, work.vectors_ND, for_columns=form == "parquet"))
    with opened_records(form, path, columns_of(form, records, (), float32_lists=_LISTS)) as write:
        write(records)


def embedded_records(
    first: int, part: Sequence[Document], vectors: NDArray[np.float32], *, for_columns: bool
) -> Iterator[dict[str, Any]]:
    """A record of each text, the first of which has this index.

    for_columns: every record has an id, and all are texts, as a column has one type.
    """
    for index, (document, vector) in enumerate(zip(part, vectors, strict=True), first):
        named: Any = document.id
        if for_columns and named is not None:
            named = str(named)
        ids = {} if named is None and not for_columns else {"id": named}
        # As text, the fewest digits that give the same float32. A column of float32 needs no such search.
        numbers = vector.tolist() if for_columns else [float(str(each)) for each in vector]
        yield {"index": index, "source": document.source, **ids, "embedding": numbers}
