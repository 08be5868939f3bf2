"""`evaluate`: models and labelled data -> whether reranking helps on these data, and how sure that is."""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.config import PRECISIONS, EngineOptions
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.evaluate import Summary, Tuning

FORMATS = ("table", "json", "markdown")
_DATA, _COMPARING, _MEASURING = "Data", "Comparing", "Measuring"


On = Annotated[
    list[str] | None,
    flags.flag(_DATA, "--on", value="PATH|SUITE", meaning="What to evaluate on, as above; may be repeated."),
]
FirstStageFlag = Annotated[
    list[str] | None,
    flags.flag(
        _DATA,
        "--first-stage",
        value="bm25|data|RUN.trec|MODEL",
        meaning="The lists to rerank: BM25's, the data's own, a stored TREC run (one for each set), or those of a "
        "Qwen3-Embedding model, which runs as the first system does. "
        "[auto: the data's own where they have lists, otherwise bm25]",
    ),
]
Depth = Annotated[
    int | None,
    flags.flag(
        _DATA,
        "--depth",
        value="N",
        meaning="Documents of a list that are reranked. [100; all where the data bring their lists]",
    ),
]
Queries = Annotated[
    int | None,
    flags.flag(
        _DATA, "--queries", value="N", meaning="At most N queries a set, drawn by --seed; more continue fewer. [all]"
    ),
]
Positives = Annotated[
    bool,
    flags.flag(
        _DATA, "--with-positives", meaning="Add relevant documents that the lists lack: the reranker's quality alone."
    ),
]
Instructions = Annotated[
    list[str] | None,
    flags.flag(
        _COMPARING,
        "--instruction",
        value="TEXT",
        meaning="For all queries; repeat it to compare several, with data for the data's own. [data]",
    ),
]
Tune = Annotated[
    bool,
    flags.flag(
        _COMPARING,
        "--tune-instruction",
        meaning="Try a library of instructions, and those of --instruction, on one half of the queries, and say "
        "whether the winner holds on the other.",
    ),
]
Precisions = Annotated[
    list[str] | None,
    flags.flag(
        _COMPARING, "--precision", value=flags.choice(PRECISIONS), meaning="Repeat it to compare several. [float32]"
    ),
]
Prompts = Annotated[
    list[str] | None,
    flags.flag(
        _COMPARING,
        "--prompt",
        value=flags.PROMPTS,
        meaning="Repeat it to compare several. [what the files say, or card]",
    ),
]
Measures = Annotated[
    str,
    flags.flag(
        _MEASURING,
        "--measures",
        value="NAME,...",
        meaning="Beside what each set is judged by: nDCG, nDCG-exp, AP, RR, R, P, success, Judged, with @10 or the "
        "like. [RR@10,R@100]",
    ),
]
Seed = Annotated[int, flags.flag(_MEASURING, "--seed", value="N", meaning="Where random draws begin. [0]")]
Output = Annotated[
    str,
    flags.flag(
        "Output", "--output", "-o", value="FOLDER", meaning="Where logits, lists and reports are kept. [evaluation]"
    ),
]
Format = Annotated[str | None, flags.format_flag(FORMATS)]


def evaluate(
    models: Annotated[list[str] | None, Argument(metavar="[MODEL]...")] = None,
    *,
    on: On = None,
    first_stage: FirstStageFlag = None,
    depth: Depth = None,
    queries: Queries = None,
    with_positives: Positives = False,
    instructions: Instructions = None,
    tune_instruction: Tune = False,
    precisions: Precisions = None,
    prompts: Prompts = None,
    measures: Measures = "RR@10,R@100",
    seed: Seed = 0,
    output: Output = "evaluation",
    form: Format = None,
    revision: flags.Revision = None,
    max_length: flags.MaxLength = flags.ENGINE.max_length,
    truncate_queries: flags.TruncateQueries = flags.ENGINE.truncate_queries,
    max_batch_tokens: flags.MaxBatchTokens = flags.ENGINE.max_batch_tokens,
    num_threads: flags.NumThreads = flags.ENGINE.num_threads,
    backend: flags.Backend = flags.ENGINE.backend,
    device: flags.Device = flags.ENGINE.device,
    kernels: flags.Kernels = flags.ENGINE.kernels,
    no_disk_cache: flags.NoDiskCache = not flags.ENGINE.disk_cache,
) -> None:
    """Show whether reranking helps on labelled data, and how sure that is.

    MODELS are nano, folders, Hub ids or stored runs (.trec, .run) of other rerankers. Each reranks the lists of a first
    stage; the lists themselves, their fusion with each model (by reciprocal ranks) and the best order they allow stand
    beside. Without a model, the first stage alone is measured.

    --on takes:

      folder/         BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv; or TREC topics, qrels and corpus
      folder/qrels/dev.tsv   the same with these judgements; a folder of such folders is all of them
      lines.jsonl     {"query", "positive", "negative"} or {"query", "documents", "labels"} a line
      qrels.txt       TREC judgements alone, to measure stored runs
      suite           a column of Qwen's table, its data fetched by mteb: mteb-r, cmteb-r, mmteb-r, mldr, mteb-code,
                      followir, both prompts unless --prompt names one; or cheap: mldr-rerank, nanobeir

    Logits are kept query by query: after Ctrl-C, the same command goes on where it stopped. The report is written to
    the output folder as Markdown, HTML and JSON.

    Examples:
      qwen3-reranker evaluate nano --on my-data/ --queries 50
      qwen3-reranker evaluate nano --on lines.jsonl --precision float32 --precision int8
      qwen3-reranker evaluate Qwen/Qwen3-Reranker-0.6B other.trec --on my-data/ --first-stage search.trec
      qwen3-reranker evaluate nano --on my-data/ --instruction data --instruction "Find the manual page"
      qwen3-reranker evaluate nano --on my-data/ --queries 100 --tune-instruction
    """
    form = flags.chosen_format(form, FORMATS)
    if not on:
        raise InputError("nothing to evaluate on: name a folder, a file or a suite with --on")
    flags.at_least_one("--depth", depth)
    flags.at_least_one("--queries", queries)

    from qwen3_reranker.cli.evaluate_inputs import (
        check_openable,
        instructions_to_try,
        read_all,
        retrieved,
        systems,
        usual_prompts,
    )
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.evaluate import Measure, compared, narrowed, tune
    from qwen3_reranker.evaluate import evaluate as evaluate_systems
    from qwen3_reranker.evaluate import with_positives as with_all_positives

    options: dict[str, Any] = {
        "max_length": max_length,
        "truncate_queries": truncate_queries,
        "max_batch_tokens": max_batch_tokens,
        "num_threads": num_threads,
        "backend": backend,
        "device": device,
        "kernels": kernels,
        "disk_cache": not no_disk_cache,
    }
    variants = [
        {**options, "precision": precision, "prompt": prompt}
        for precision, prompt in product(precisions or [flags.ENGINE.precision], prompts or usual_prompts(on))
    ]
    for variant in variants:
        EngineOptions(**variant)
        variant["revision"] = revision

    check_openable(models or [], variants, first_stage or [])
    extra = [Measure.parse(name) for name in measures.split(",") if name.strip()]
    folder = Path(output)
    sets = [labelled.drawn(queries, seed) for labelled in read_all(on)]
    if tune_instruction:
        instructions = instructions_to_try(models or [], variants, instructions, sets, seed)
    candidates = systems(models or [], variants, instructions, one_model=tune_instruction)
    stages = retrieved(sets, first_stage or ["auto"], depth, seed, folder / "first-stages", variants[0])
    if with_positives:
        stages = [with_all_positives(*each) for each in zip(sets, stages, strict=True)]
    with ProgressBar("judging") as bar:
        summary = evaluate_systems(sets, stages, candidates, folder, measures=extra, seed=seed, on_progress=bar)
    tuning = tune(summary) if tune_instruction else None
    if tuning is not None:
        summary = narrowed(summary, {tuning.baseline, tuning.winner.label})
    _write(compared(summary), folder, form, tuning)


def _write(summary: Summary, folder: Path, form: str, tuning: Tuning | None) -> None:
    from qwen3_reranker.evaluate import as_json, markdown, page

    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(as_json(summary, tuning), indent=2, ensure_ascii=False) + "\n"
    (folder / "report.json").write_text(content, encoding="utf-8")
    (folder / "report.md").write_text(markdown(summary, tuning), encoding="utf-8")
    (folder / "report.html").write_text(page(summary, tuning), encoding="utf-8")
    if form == "json":
        print(content, end="")
    elif form == "markdown":
        print(markdown(summary, tuning), end="")
    else:
        from qwen3_reranker.cli.evaluate_table import write_table

        write_table(summary, sys.stdout, tuning)
    note(f"report written to {folder / 'report.html'}, .md and .json")
