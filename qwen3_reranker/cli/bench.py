"""`bench`: a model -> its speed on this machine, in each precision."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions, format_option
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.option_fields import option
from qwen3_reranker.registry import SPECS

if TYPE_CHECKING:
    from qwen3_reranker.bench import BenchWorkload
    from qwen3_reranker.cli.bench_output import BenchSetting

WORKLOADS = ("short", "medium", "long", "queries", "titles", "request", "pair")
PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True, kw_only=True)
class BenchOptions(PrintOptions):
    """What to measure, and how to print it."""

    group: ClassVar[str] = "Measuring"
    only: list[str] | None = option(
        None, f"Run only these workloads: {', '.join(WORKLOADS)}.", unit="NAME,...", shown="all but pair"
    )
    precisions: list[str] | None = option(
        None,
        f"Compare these: {', '.join(SPECS['cpu'].precisions)}; ratios are to the first.",
        unit="NAME,...",
        flag="--precision",
        shown=",".join(PRECISIONS),
    )
    rounds: int = option(
        3, "Run each workload N times in each precision, in turns; the median counts.", unit="N", least=1
    )
    form: str | None = format_option(("table", "json", "markdown"))


@declared
def bench(
    model: Annotated[str, Argument(metavar="[MODEL]")] = "nano",
    *,
    options: BenchOptions,
    source: Annotated[ModelOptions, without("model")],
    engine: Annotated[
        EngineOptions, without("backend", "device", "precision", "prompt", "special_tokens", "truncate_queries")
    ],
) -> None:
    """Measure how fast a model ranks on this machine.

    MODEL is nano (which comes with the package), a folder, or a Hub id. It scores built-in texts:

      short     1 query, 32 documents of about 40 tokens
      medium    1 query, 32 documents of about 144 tokens
      long      1 query, 32 documents of about 512 tokens
      queries   8 queries, each with 16 documents of about 144 tokens
      titles    1 query, 200 documents of about 12 tokens
      request   1 query, 20 documents of about 150 tokens
      pair      1 query, 1 document of 8,000 tokens

    tokens/s counts all tokens of all pairs, with their prompt; computed/s counts those that went through the network,
    as a beginning that pairs share is computed once. Every round computes it again. products, attention and rest are
    shares of the time; rest is norms, rounding and the like. Where float32 is compared, the last line names the fastest
    precision here whose logits stay near float32's. Close other programs first: they slow the memory down
    even where cores are free.

    Examples:
      qwen3-reranker bench nano
      qwen3-reranker bench Qwen/Qwen3-Reranker-0.6B --only medium --rounds 1
      qwen3-reranker bench ./my-model --precision float32,bfloat16,int8,int8x2 --format markdown
      qwen3-reranker bench ./my-model --precision int8 --threads 4
    """
    names = _listed("--only", options.only, WORKLOADS, WORKLOADS[:-1])
    compared = _listed("--precision", options.precisions, SPECS["cpu"].precisions, PRECISIONS)
    for precision in compared:
        replace(engine, precision=precision)

    from qwen3_reranker.bench import BenchReport, measure
    from qwen3_reranker.cli.bench_output import write_bench
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.weights import resolve

    # A download shows a bar of its own.
    resolve(model, source.revision)
    report = BenchReport()
    try:
        with ProgressBar("preparing") as bar:
            workloads, setting = _prepared(model, source.revision, names, engine, options.rounds)
            bar.stage("measuring")
            chosen = {**asdict(engine), "revision": source.revision}
            measure(model, workloads, compared, options.rounds, chosen, report=report, on_progress=bar)
    finally:
        # What was measured until Ctrl-C is worth its minutes.
        if report.measured:
            write_bench(setting, workloads, report, options.chosen, sys.stdout)


def _prepared(
    model: str, revision: str | None, names: Sequence[str], engine: EngineOptions, rounds: int
) -> tuple[list[BenchWorkload], BenchSetting]:
    """The workloads by the model's tokenizer, and the setting, for the record."""
    from qwen3_reranker.backends.cpu.kernels import variant
    from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
    from qwen3_reranker.bench import build
    from qwen3_reranker.cli.bench_output import BenchSetting
    from qwen3_reranker.drift import text_set
    from qwen3_reranker.reranker import Reranker

    questions = text_set()
    queries = [question.query for question in questions]
    texts = [document for question in questions for document in question.documents]
    with Reranker(model, revision=revision, plan_only=True, max_length=engine.max_length) as reranker:
        workloads = [build(name, reranker, queries, texts) for name in names]
    kernels = variant(engine.kernels)
    return workloads, BenchSetting(model, kernels, engine.num_threads or usable_cpus(), rounds)


def _listed(name: str, given: Sequence[str] | None, known: Sequence[str], default: Sequence[str]) -> list[str]:
    """The names given, in any number of lists with commas, each once. Raises InputError for an unknown one or none."""
    if given is None:
        return list(default)
    names = [part.strip() for each in given for part in each.split(",") if part.strip()]
    if not names:
        raise InputError(f"{name} names nothing: expected some of {', '.join(known)}")
    for each in names:
        if each not in known:
            raise unknown(name, each, known)
    return list(dict.fromkeys(names))
