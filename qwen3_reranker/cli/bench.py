"""`bench`: a model -> how fast it ranks on this machine, in which precision, and what the time goes to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.config import PRECISIONS_OF, EngineOptions
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.bench import Workload

FORMATS = ("table", "json", "markdown")
WORKLOADS = ("short", "medium", "long", "queries", "titles", "pair")
PRECISIONS = ("float32", "int8")

Only = Annotated[
    list[str] | None,
    flags.flag(
        "Measuring",
        "--only",
        value="NAME,...",
        meaning=f"Run these workloads alone: {', '.join(WORKLOADS)}. [all but pair]",
    ),
]
Precisions = Annotated[
    list[str] | None,
    flags.flag(
        "Measuring",
        "--precision",
        value="NAME,...",
        meaning=f"Compare these: {', '.join(PRECISIONS_OF['cpu'])}; ratios are to the first. [{','.join(PRECISIONS)}]",
    ),
]
Rounds = Annotated[
    int,
    flags.flag(
        "Measuring",
        "--rounds",
        value="N",
        meaning="Run each workload N times in each precision, in turns; the median counts. [3]",
    ),
]
Format = Annotated[str | None, flags.format_flag(FORMATS)]


def bench(
    model: Annotated[str, Argument(metavar="[MODEL]")] = "nano",
    *,
    only: Only = None,
    precisions: Precisions = None,
    rounds: Rounds = 3,
    form: Format = None,
    revision: flags.Revision = None,
    max_length: flags.MaxLength = flags.ENGINE.max_length,
    max_batch_tokens: flags.MaxBatchTokens = flags.ENGINE.max_batch_tokens,
    num_threads: flags.NumThreads = flags.ENGINE.num_threads,
    kernels: flags.Kernels = flags.ENGINE.kernels,
    no_disk_cache: flags.NoDiskCache = not flags.ENGINE.disk_cache,
) -> None:
    """Measure how fast a model ranks on this machine.

    MODEL is nano (which comes with the package), a folder, or a Hub id. It scores built-in texts:

      short     1 query, 32 documents of about 40 tokens
      medium    1 query, 32 documents of about 144 tokens
      long      1 query, 32 documents of about 512 tokens
      queries   8 queries, each with 16 documents of about 144 tokens
      titles    1 query, 200 documents of about 12 tokens
      pair      1 query, 1 document of 8,000 tokens

    tokens/s counts what every pair holds, its prompt included; computed/s counts what went through the network, as what
    pairs share is computed once. Every round computes all of that again. The rest of the time is norms, rounding and
    the like. Close other programs first: they share the processor's memory even where cores are free.

    Examples:
      qwen3-reranker bench nano
      qwen3-reranker bench Qwen/Qwen3-Reranker-0.6B --only medium --rounds 1
      qwen3-reranker bench ./my-model --precision float32,int8,int8x2 --format markdown
      qwen3-reranker bench ./my-model --precision int8 --threads 4
    """
    form = flags.chosen_format(form, FORMATS)
    names = _listed("--only", only, WORKLOADS, WORKLOADS[:-1])
    compared = _listed("--precision", precisions, PRECISIONS_OF["cpu"], PRECISIONS)
    flags.at_least_one("--rounds", rounds)
    options: dict[str, Any] = {
        "max_length": max_length,
        "max_batch_tokens": max_batch_tokens,
        "num_threads": num_threads,
        "kernels": kernels,
        "disk_cache": not no_disk_cache,
    }
    for precision in compared:
        EngineOptions(**options, precision=precision)

    from qwen3_reranker.bench import Report, measure
    from qwen3_reranker.cli.bench_output import Setting, write
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.weights import resolve

    # A download shows a bar of its own.
    resolve(model, revision)
    report = Report()
    try:
        with ProgressBar("preparing") as bar:
            workloads, setting = _prepared(model, revision, names, options, rounds)
            bar.stage("measuring")
            measure(
                model, workloads, compared, rounds, {**options, "revision": revision}, report=report, on_progress=bar
            )
    finally:
        # What was measured until Ctrl-C is worth its minutes.
        if report.measured:
            write(Setting(**setting), workloads, report, form, sys.stdout)


def _prepared(
    model: str, revision: str | None, names: Sequence[str], options: dict[str, Any], rounds: int
) -> tuple[list[Workload], dict[str, Any]]:
    """The workloads by the model's tokenizer, and what was asked for, for the record."""
    from qwen3_reranker.backends.cpu.kernels import variant
    from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
    from qwen3_reranker.bench import build
    from qwen3_reranker.drift import text_set
    from qwen3_reranker.reranker import Reranker

    kernels = variant(options["kernels"])
    questions = text_set()
    queries = [question.query for question in questions]
    texts = [document for question in questions for document in question.documents]
    with Reranker(model, revision=revision, plan_only=True, max_length=options["max_length"]) as reranker:
        workloads = [build(name, reranker, queries, texts) for name in names]
    threads = options["num_threads"] or usable_cpus()
    return workloads, {"model": model, "kernels": kernels, "threads": threads, "rounds": rounds}


def _listed(name: str, given: Sequence[str] | None, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The names given, in any number of lists with commas, each once; raises InputError for an unknown one or none."""
    if given is None:
        return list(default)
    names = [part.strip() for each in given for part in each.split(",") if part.strip()]
    if not names:
        raise InputError(f"{name} names nothing: expected some of {', '.join(known)}")
    return list(dict.fromkeys(flags.one_of(name, each, known) for each in names))
