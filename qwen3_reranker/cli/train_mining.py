"""`train mine`, `distil` and `synthesise`: what examples lack, found, scored or written. None of it needs torch."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, only, without
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.train_shared import ExamplesOutput, print_facts, read_files, resumable
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option, required
from qwen3_reranker.train.mining_options import MiningOptions
from qwen3_reranker.train.synthesis_options import PERSONAS, SynthesisOptions

if TYPE_CHECKING:
    from qwen3_reranker.text_reranker import TextReranker

KEY_VARIABLE = "QWEN3_RERANKER_API_KEY"


@dataclass(frozen=True, kw_only=True)
class CandidateOptions:
    """Where candidates come from, and who doubts them."""

    group: ClassVar[str] = "Candidates"
    run: str | None = option(None, "A TREC run; its queries are the examples' ids.", unit="FILE", shown="BM25")
    corpus: str | None = option(None, "Documents, JSON lines of _id and text.", unit="FILE", shown="the examples' own")
    teacher: str | None = option(
        None,
        "A reranker that finds answers without a label, to leave them out.",
        unit="MODEL",
        shown="none",
        group="Teacher",
    )


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """The reranker that scores."""

    teacher: str = required(
        "The reranker that scores: nano, a folder, a Hub id, or the URL of a server.", unit="MODEL", group="Teacher"
    )


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """Who writes queries, for whom, and who reads them."""

    group: ClassVar[str] = "Writer"
    endpoint: str = required("A server of OpenAI's chat completions, such as http://localhost:8000/v1.", unit="URL")
    writer: str = required("The language model's name there.", unit="NAME")
    personas: str | None = option(
        None, "Who may ask, one a line.", unit="FILE", shown=f"{len(PERSONAS)} that are built in", group="Queries"
    )
    judge: str | None = option(
        None,
        "A reranker that finds queries without an answer in the passage, to leave them out.",
        unit="MODEL",
        shown="none",
        group="Filter",
    )


Data = Annotated[str, Argument(metavar="FILE")]


@declared
def mine(
    data: Data,
    *,
    candidates: CandidateOptions,
    options: MiningOptions,
    output: Annotated[ExamplesOutput, without("resume")],
) -> None:
    """Find hard negatives for queries.

    Those are documents that a first stage ranks high and that are no answers. A document that scores nearly as high as
    the positive is left out, as it may be an answer without a label; a --teacher checks the rest. Mined negatives
    replace those in FILE.

    Examples:
      qwen3-reranker train mine data.jsonl --output hard.jsonl --corpus corpus.jsonl --ranks 2-60
      qwen3-reranker train mine data.jsonl -o hard.jsonl --run dense.trec --corpus corpus.jsonl --teacher big-model/
    """
    from qwen3_reranker.evaluate.beir import read_corpus
    from qwen3_reranker.evaluate.trec import read_run
    from qwen3_reranker.train.example_file import write_examples
    from qwen3_reranker.train.mining import Bm25Candidates, RunCandidates
    from qwen3_reranker.train.mining import mine as find

    if candidates.run is not None and candidates.corpus is None:
        raise InputError("--run names documents by id, so --corpus must say what they are")
    teacher = _opened(candidates.teacher)
    examples = read_files([data])
    texts = read_corpus(Path(candidates.corpus)) if candidates.corpus else {}
    first_stage = (
        RunCandidates(read_run(Path(candidates.run)), texts)
        if candidates.run
        else Bm25Candidates([*texts.values(), *(text for each in examples for text in each.documents)], options.seed)
    )
    with ProgressBar("mining") as bar:
        found, mined = find(examples, first_stage, options, teacher, bar)
    write_examples(output.output, found)
    print_facts({**asdict(mined), "output": output.output}, output.chosen)


@declared
def distil(
    data: Data,
    *,
    teacher: TeacherOptions,
    engine: Annotated[EngineOptions, only("backend", "device", "precision")],
    output: ExamplesOutput,
) -> None:
    """Score every document with a larger reranker.

    The losses kl, margin-mse and soft-bce use these scores. Lines are written as they are scored; after Ctrl-C,
    --resume repeats at most eight queries.

    Examples:
      qwen3-reranker train distil hard.jsonl --output taught.jsonl --teacher Qwen/Qwen3-Reranker-8B --backend torch
      qwen3-reranker train run taught.jsonl --output runs/student --loss kl+bce
    """
    from qwen3_reranker.train.teacher import distil as score

    judge = _opened(teacher.teacher, engine)
    assert judge is not None
    examples = read_files([data])
    with resumable(), closing(judge), ProgressBar("scoring") as bar:
        scored = score(examples, judge, output.output, resume=output.resume, on_progress=bar)
    facts = {"queries": len(examples), "scored_now": scored, "teacher": teacher.teacher, "output": output.output}
    print_facts(facts, output.chosen)


@declared
def synthesise(
    passages: Annotated[str, Argument(metavar="CORPUS")],
    *,
    writer: WriterOptions,
    options: Annotated[SynthesisOptions, without("personas")],
    output: ExamplesOutput,
) -> None:
    """Have a language model write queries for passages.

    CORPUS is JSON lines of _id and text. Each passage is sent to the endpoint twice: first to choose who would look for
    it and how, then to write the query. Nothing is sent anywhere else. The key is read from QWEN3_RERANKER_API_KEY.
    `train mine` then finds negatives.

    Examples:
      qwen3-reranker train synthesise corpus.jsonl -o new.jsonl --endpoint http://localhost:8000/v1 --writer qwen3-32b
      qwen3-reranker train mine new.jsonl -o data.jsonl --corpus corpus.jsonl
    """
    from qwen3_reranker.cli.text_files import read_text
    from qwen3_reranker.evaluate.beir import read_corpus
    from qwen3_reranker.train.chat import Chat
    from qwen3_reranker.train.synthesis import synthesise as write

    if writer.personas is not None:
        lines = map(str.strip, read_text(writer.personas).splitlines())
        options = replace(options, personas=tuple(filter(None, lines)))
    chat = Chat(writer.endpoint, writer.writer, api_key=os.environ.get(KEY_VARIABLE))
    reader = _opened(writer.judge)
    texts = list(read_corpus(Path(passages)).values())
    with resumable(), ProgressBar("writing queries") as bar:
        found = write(texts, chat, output.output, options, reader, resume=output.resume, on_progress=bar)
    facts = asdict(found)
    facts.pop("first_unusable")
    print_facts({**facts, "output": output.output}, output.chosen)
    note("queries have no negatives yet: train mine finds them")


def _opened(model: str | None, engine: EngineOptions | None = None) -> TextReranker | None:
    """The model, or the server at its URL; that takes no options of an engine."""
    if model is None:
        return None
    from qwen3_reranker.cli.opened_reranker import download, open_reranker, warnings_noted
    from qwen3_reranker.cli.shared_options import ModelOptions
    from qwen3_reranker.endpoints.server_options import ServerOptions

    named = ModelOptions(model=model)
    download(named)
    with warnings_noted():
        return open_reranker(named, engine or EngineOptions(), ServerOptions())
