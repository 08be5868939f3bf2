"""`embed`: texts -> a vector of each, as JSON lines, Parquet or an array of numpy."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.documents import Document, DocumentOptions, read_documents
from qwen3_reranker.cli.dry_run import SAMPLED_ROWS, dry_run_option, estimate, write_estimate
from qwen3_reranker.cli.embed_job import embed_into_folder, embedded_records
from qwen3_reranker.cli.job_run import folder_of
from qwen3_reranker.cli.output_file import format_of, scratch_path
from qwen3_reranker.cli.record_output import record_output
from qwen3_reranker.cli.shared_options import ModelOptions, output_option
from qwen3_reranker.cli.terminal import note, on_terminal
from qwen3_reranker.cli.text_files import STDIN
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.option_fields import option, required
from qwen3_reranker.parquet import require_pyarrow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Texts that are computed and written before the next.
_TEXTS = 512
_ENDINGS = {"jsonl": "jsonl", "ndjson": "jsonl", "npy": "npy", "parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class EmbeddingOptions:
    """Which model, and what the texts are to it."""

    model: str = required(
        "An embedding model: a Hub id such as Qwen/Qwen3-Embedding-0.6B, a folder, or a GGUF file.",
        unit="NAME",
        flag="--model, -m",
        group="Model",
    )
    role: str = option(
        "document",
        "What the texts are. A query stands behind an instruction.",
        choices=("query", "document"),
        group="Embedding",
    )
    instruction: str | None = option(
        None,
        "Say what queries look for, best in English.",
        unit="TEXT",
        shown="that of the model",
        group="Embedding",
    )
    dim: int | None = option(
        None, "Numbers of a vector, at least 32.", unit="N", shown="all of the model's", group="Embedding", least=32
    )


@dataclass(frozen=True, kw_only=True)
class EmbedOutput:
    """Where the vectors go."""

    group: ClassVar[str] = "Output"
    form: str | None = option(
        None,
        "How to write the vectors. npy: a float32 array of numpy, a row for each text, without ids.",
        choices=("jsonl", "parquet", "npy"),
        flag="--format",
        shown="that of the ending of -o FILE, otherwise jsonl",
    )
    output: str | None = output_option(
        "The vectors go to FILE, which gets its name when all are computed, or in parts to FOLDER/."
    )
    dry_run: bool = dry_run_option()


@declared
def embed(
    places: Annotated[list[str], Argument(metavar="TEXTS...")],
    *,
    embedding: EmbeddingOptions,
    documents: DocumentOptions,
    output: EmbedOutput,
    job: JobOptions,
    source: Annotated[ModelOptions, without("model")],
    engine: Annotated[EngineOptions, without("prompt", "truncate_queries")],
) -> None:
    """Turn texts into vectors of length 1, for search by meaning.

    TEXTS are files, folders and - for standard input, read as rank reads documents: lines of a text file, records of
    JSON lines, JSON, CSV, TSV or Parquet, whole files of markup and source code.

    JSON lines and Parquet hold index, source, id and embedding of each text, in the order of the input.

    With -o FOLDER/ it is a job: TEXTS is one file of records, and each part of it becomes a file of the folder. The
    same command goes on where a job was stopped. --engine ray computes parts on a cluster.

    Examples:
      qwen3-reranker embed passages.jsonl -m Qwen/Qwen3-Embedding-0.6B -o passages.parquet
      qwen3-reranker embed s3://bucket/corpus.parquet -m Qwen/Qwen3-Embedding-0.6B -o s3://bucket/vectors/ --engine ray
      qwen3-reranker embed notes/ --chunk -m Qwen/Qwen3-Embedding-0.6B --dim 256 -o notes.npy
      echo "take back my last commit" | qwen3-reranker embed - --role query -m ./my-embedder
    """
    if embedding.role == "document" and embedding.instruction is not None:
        raise InputError("a document takes no --instruction: embed queries with --role query")
    if (folder := folder_of(output.output, job)) is not None and not output.dry_run:
        from qwen3_reranker.jobs.part_task import EmbedTask

        task = EmbedTask(
            model=embedding.model,
            revision=source.revision,
            options={**asdict(engine), "dim": embedding.dim},
            instruction=embedding.instruction,
            role=embedding.role,
        )
        embed_into_folder(folder, places, documents, job, output.form, task, engine)
        return
    form = format_of(output.form, output.output, _ENDINGS, "jsonl")
    if form == "npy" and output.output is None:
        raise InputError("an array of numpy is no text: name a file with -o FILE")
    if form == "parquet":
        require_pyarrow()
    from qwen3_reranker.cli.progress import ProgressBar

    typed = STDIN in places and on_terminal(sys.stdin)
    with nullcontext() if typed else ProgressBar("reading texts"):
        found = read_documents(places, documents)
    texts = [document.text for document in found]

    from qwen3_reranker.embedder import Embedder
    from qwen3_reranker.weights import resolve

    resolve(embedding.model, source.revision)
    how: dict[str, Any] = {"role": embedding.role, "instruction": embedding.instruction}
    shown = output.output is None and on_terminal(sys.stdout)
    options = {**asdict(engine), "revision": source.revision, "dim": embedding.dim}
    with (
        nullcontext() if shown else ProgressBar("opening the model") as bar,
        Embedder(embedding.model, **options) as model,
    ):
        if output.dry_run:
            prediction = estimate(model, model.rows(texts[:SAMPLED_ROWS], **how), len(texts))
        else:
            if bar is not None:
                bar.stage("embedding", f"{len(texts):,} texts")
            cut = tokens = 0
            start = time.perf_counter()
            with _output(form, output.output, len(texts), model.dim) as write:
                for first in range(0, len(texts), _TEXTS):
                    part = found[first : first + _TEXTS]
                    embedded = model.embed([document.text for document in part], **how)
                    write(first, part, embedded.vectors)
                    cut += embedded.usage.truncated_documents
                    tokens += embedded.usage.prompt_tokens
                    if bar is not None:
                        bar((first + len(part)) / len(texts))
            seconds = time.perf_counter() - start
    if output.dry_run:
        write_estimate(prediction, "texts", None)
        return
    if output.output is not None:
        print(f"{len(texts):,} vectors of {model.dim:,} numbers · {tokens:,} tokens · {seconds:.1f} s")
    if cut:
        limit = model.tokens.max_length
        note(f"{cut:,} of {len(texts):,} texts cut to fit {limit:,} tokens; --chunk embeds all of it in passages")


Write = Callable[[int, Sequence[Document], "NDArray[np.float32]"], None]


@contextmanager
def _output(form: str, place: str | None, count: int, dim: int) -> Iterator[Write]:
    """What writes the vectors of some texts, the first of which has this index."""
    if form == "npy":
        import numpy as np

        assert place is not None
        with scratch_path(place) as path:
            # An array of no rows cannot be mapped.
            if not count:
                with path.open("wb") as file:
                    np.save(file, np.empty((0, dim), np.float32))
                yield lambda first, part, vectors: None
                return
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, dim))

            def rows(first: int, part: Sequence[Document], vectors: NDArray[np.float32]) -> None:
                array[first : first + len(part)] = vectors

            yield rows
            array.flush()
            del array
        return
    with record_output(form, place, float32_lists=("embedding",)) as write:
        yield lambda first, part, vectors: write(
            list(embedded_records(first, part, vectors, for_columns=form == "parquet"))
        )
