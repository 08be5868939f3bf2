"""`train mine`, `distil` and `synthesise`: what examples lack, found, scored or written; none of it needs torch."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.flags import flag
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.cli.train_flags import (
    FORMATS,
    Data,
    Format,
    Output,
    Resume,
    Seed,
    print_facts,
    read_files,
    resumable,
)
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker import Reranker

KEY_VARIABLE = "QWEN3_RERANKER_API_KEY"


def mine(
    data: Data,
    *,
    output: Output,
    run: Annotated[
        str | None,
        flag("Candidates", "--run", value="FILE", meaning="A TREC run; its queries are the examples' ids. [BM25]"),
    ] = None,
    corpus: Annotated[
        str | None,
        flag(
            "Candidates", "--corpus", value="FILE", meaning="Documents, JSON lines of _id and text. [the examples' own]"
        ),
    ] = None,
    negatives: Annotated[int, flag("Choice", "--negatives", value="N", meaning="Negatives a query. [7]")] = 7,
    ranks: Annotated[str, flag("Choice", "--ranks", value="A-B", meaning="Ranks they come from. [1-100]")] = "1-100",
    margin: Annotated[
        float,
        flag("Choice", "--margin", value="SHARE", meaning="Drop what scores above 1 - SHARE of the positive's. [0.05]"),
    ] = 0.05,
    sampling: Annotated[str, flag("Choice", "--sampling", value="top|random", meaning="Which of them. [top]")] = "top",
    teacher: Annotated[
        str | None,
        flag("Teacher", "--teacher", value="MODEL", meaning="A reranker that drops answers nobody labelled. [none]"),
    ] = None,
    teacher_margin: Annotated[
        float,
        flag("Teacher", "--teacher-margin", value="P", meaning="How far below the positive's probability. [0.1]"),
    ] = 0.1,
    seed: Seed = 0,
    form: Format = None,
) -> None:
    """Find hard negatives for queries.

    Those are documents that a first stage takes for answers, and that are none. What scores nearly as high as the
    positive is left out, as it may be an answer that nobody labelled; a --teacher looks at the
    rest. Mined negatives take the place of those in FILE.

    Examples:
      qwen3-reranker train mine data.jsonl --output hard.jsonl --corpus corpus.jsonl --ranks 2-60
      qwen3-reranker train mine data.jsonl -o hard.jsonl --run dense.trec --corpus corpus.jsonl --teacher big-model/
    """
    form = flags.chosen_format(form, FORMATS)
    from qwen3_reranker.evaluate.beir import read_corpus
    from qwen3_reranker.train.examples import write_examples
    from qwen3_reranker.train.mining import Bm25Candidates, MiningOptions, RunCandidates
    from qwen3_reranker.train.mining import mine as find
    from qwen3_reranker.train.trec_run import read_run

    first, last = _ranks(ranks)
    options = MiningOptions(negatives, first, last, margin, teacher_margin, sampling, seed)
    if run is not None and corpus is None:
        raise InputError("--run names documents by id, so --corpus must say what they are")
    judge = _opened(teacher)
    examples = read_files([data])
    texts = read_corpus(Path(corpus)) if corpus else {}
    candidates = (
        RunCandidates(read_run(run), texts)
        if run
        else Bm25Candidates([*texts.values(), *(text for each in examples for text in each.documents)], seed)
    )
    with ProgressBar("mining") as bar:
        found, mined = find(examples, candidates, options, judge, bar)
    write_examples(output, found)
    print_facts({**asdict(mined), "output": output}, form)


def distil(
    data: Data,
    *,
    output: Output,
    teacher: Annotated[
        str, flag("Teacher", "--teacher", value="MODEL", meaning="The reranker that scores: nano, a folder, a Hub id.")
    ],
    backend: flags.Backend = "cpu",
    device: flags.Device = None,
    precision: flags.Precision = "float32",
    resume: Resume = False,
    form: Format = None,
) -> None:
    """Score every document with a larger reranker.

    The losses kl, margin-mse and soft-bce learn from that. Lines are written as they are scored; Ctrl-C and --resume
    lose eight queries at most.

    Examples:
      qwen3-reranker train distil hard.jsonl --output taught.jsonl --teacher Qwen/Qwen3-Reranker-8B --backend torch
      qwen3-reranker train run taught.jsonl --output runs/student --loss kl+bce
    """
    form = flags.chosen_format(form, FORMATS)
    from qwen3_reranker.train.teacher import distil as score

    judge = _opened(teacher, backend=backend, device=device, precision=precision)
    assert judge is not None
    examples = read_files([data])
    with resumable(), judge, ProgressBar("scoring") as bar:
        scored = score(examples, judge, output, resume=resume, on_progress=bar)
    print_facts({"queries": len(examples), "scored_now": scored, "teacher": teacher, "output": output}, form)


def synthesise(
    passages: Annotated[str, Argument(metavar="CORPUS")],
    *,
    output: Output,
    endpoint: Annotated[
        str,
        flag(
            "Writer",
            "--endpoint",
            value="URL",
            meaning="A server of OpenAI's chat completions, as http://localhost:8000/v1.",
        ),
    ],
    writer: Annotated[str, flag("Writer", "--writer", value="NAME", meaning="The language model's name there.")],
    languages: Annotated[
        str, flag("Queries", "--languages", value="NAME,...", meaning="Drawn evenly. [English]")
    ] = "English",
    lengths: Annotated[
        str, flag("Queries", "--lengths", value="N,...", meaning="Words, drawn evenly. [4,8,16]")
    ] = "4,8,16",
    personas: Annotated[
        str | None,
        flag("Queries", "--personas", value="FILE", meaning="Who may ask, one a line. [18 that are built in]"),
    ] = None,
    judge: Annotated[
        str | None,
        flag(
            "Filter",
            "--judge",
            value="MODEL",
            meaning="A reranker that drops queries the passage does not answer. [none]",
        ),
    ] = None,
    least: Annotated[
        float, flag("Filter", "--least", value="P", meaning="The least probability of yes to keep. [0.5]")
    ] = 0.5,
    seed: Seed = 0,
    resume: Resume = False,
    form: Format = None,
) -> None:
    """Have a language model write queries for passages.

    CORPUS is JSON lines of _id and text. Every passage is sent to the endpoint twice: who would look for it and how,
    then the query. Nothing is sent anywhere but to --endpoint. A key is read from QWEN3_RERANKER_API_KEY. Negatives are
    for `mine` to find.

    Examples:
      qwen3-reranker train synthesise corpus.jsonl -o new.jsonl --endpoint http://localhost:8000/v1 --writer qwen3-32b
      qwen3-reranker train mine new.jsonl -o data.jsonl --corpus corpus.jsonl
    """
    form = flags.chosen_format(form, FORMATS)
    from qwen3_reranker.cli.text_files import read_text
    from qwen3_reranker.evaluate.beir import read_corpus
    from qwen3_reranker.train.chat import Chat
    from qwen3_reranker.train.synthesis import PERSONAS, SynthesisOptions
    from qwen3_reranker.train.synthesis import synthesise as write

    known = PERSONAS if personas is None else tuple(filter(None, map(str.strip, read_text(personas).splitlines())))
    options = SynthesisOptions(known, tuple(_listed(languages)), _numbers("--lengths", lengths), least, seed)
    chat = Chat(endpoint, writer, api_key=os.environ.get(KEY_VARIABLE))
    reader = _opened(judge)
    texts = list(read_corpus(Path(passages)).values())
    with resumable(), ProgressBar("writing queries") as bar:
        found = write(texts, chat, output, options, reader, resume=resume, on_progress=bar)
    facts = asdict(found)
    facts.pop("first_unusable")
    print_facts({**facts, "output": output}, form)
    note("queries have no negatives yet: train mine finds them")


def _opened(model: str | None, **options: Any) -> Reranker | None:
    if model is None:
        return None
    from qwen3_reranker import Reranker

    return Reranker(model, **options)


def _ranks(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise InputError(f"--ranks must be written like 2-60, got {text!r}")
    return int(first), int(last)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    if not all(each.isascii() and each.isdigit() for each in _listed(text)):
        raise InputError(f"{flag} must be whole numbers with commas between them, got {text!r}")
    return tuple(map(int, _listed(text)))
