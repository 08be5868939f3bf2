"""`evaluate`: models and labelled data -> whether reranking helps on these data, and how sure that is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.config import PRECISIONS, EngineOptions
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.evaluate import Candidate, FirstStage, LabelledSet, Summary
    from qwen3_reranker.evaluate.tuning import Tuning

FORMATS = ("table", "json", "markdown")
DEPTH = 100
_DATA, _COMPARING, _MEASURING = "Data", "Comparing", "Measuring"


def _flag(group: str, *names: str, value: str | None = None, meaning: str) -> Any:
    return Option(*names, metavar=value, help=meaning, rich_help_panel=group)


On = Annotated[
    list[str] | None,
    _flag(_DATA, "--on", value="PATH|SUITE", meaning="What to evaluate on, as above; may be repeated."),
]
FirstStageFlag = Annotated[
    list[str] | None,
    _flag(
        _DATA,
        "--first-stage",
        value="bm25|data|RUN.trec|MODEL",
        meaning="The lists to rerank: BM25's, the data's own, a stored TREC run (one for each set), or those of a "
        "Qwen3-Embedding model, searching all documents. "
        "[auto: the data's own where they have lists, otherwise bm25]",
    ),
]
Depth = Annotated[
    int | None,
    _flag(
        _DATA,
        "--depth",
        value="N",
        meaning=f"Documents of a list that are reranked. [{DEPTH}; all where the data bring their lists]",
    ),
]
Queries = Annotated[
    int | None,
    _flag(
        _DATA, "--queries", value="N", meaning="At most N queries a set, drawn by --seed; more continue fewer. [all]"
    ),
]
Positives = Annotated[
    bool,
    _flag(
        _DATA, "--with-positives", meaning="Add relevant documents that the lists lack: the reranker's quality alone."
    ),
]
Instructions = Annotated[
    list[str] | None,
    _flag(
        _COMPARING,
        "--instruction",
        value="TEXT",
        meaning="For all queries; repeat it to compare several, with data for the data's own. [data]",
    ),
]
Tune = Annotated[
    bool,
    _flag(
        _COMPARING,
        "--tune-instruction",
        meaning="Try a library of instructions, and those of --instruction, on one half of the queries, and say "
        "whether the winner holds on the other.",
    ),
]
Precisions = Annotated[
    list[str] | None,
    _flag(_COMPARING, "--precision", value=flags.choice(PRECISIONS), meaning="Repeat it to compare several. [float32]"),
]
Prompts = Annotated[
    list[str] | None,
    _flag(_COMPARING, "--prompt", value="card|card-vllm", meaning="Repeat it to compare both. [card]"),
]
Measures = Annotated[
    str,
    _flag(
        _MEASURING,
        "--measures",
        value="NAME,...",
        meaning="Beside what each set is judged by: nDCG, nDCG-exp, AP, RR, R, P, success, Judged, with @10 or the "
        "like. [RR@10,R@100]",
    ),
]
Seed = Annotated[int, _flag(_MEASURING, "--seed", value="N", meaning="Where random draws begin. [0]")]
Output = Annotated[
    str,
    _flag("Output", "--output", "-o", value="FOLDER", meaning="Where logits, lists and reports are kept. [evaluation]"),
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
        for precision, prompt in product(precisions or [flags.ENGINE.precision], prompts or _prompts(on))
    ]
    for variant in variants:
        EngineOptions(**variant)
        variant["revision"] = revision

    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.evaluate import Measure, compared, narrowed
    from qwen3_reranker.evaluate import evaluate as evaluate_systems
    from qwen3_reranker.evaluate.tuning import tune

    extra = [Measure.parse(name) for name in measures.split(",") if name.strip()]
    folder = Path(output)
    sets = [labelled.drawn(queries, seed) for labelled in _sets(on)]
    if tune_instruction:
        instructions = _tried(models or [], variants, instructions, sets, seed)
    candidates = _candidates(models or [], variants, instructions, one_model=tune_instruction)
    stages = _stages(sets, first_stage or ["auto"], depth, seed, folder)
    if with_positives:
        from qwen3_reranker.evaluate import with_positives as added

        stages = [added(labelled, stage) for labelled, stage in zip(sets, stages, strict=True)]
    with ProgressBar("judging") as bar:
        summary = evaluate_systems(sets, stages, candidates, folder, measures=extra, seed=seed, on_progress=bar)
    tuning = tune(summary) if tune_instruction else None
    if tuning is not None:
        summary = narrowed(summary, {tuning.baseline, tuning.winner.label})
    _write(compared(summary), folder, form, tuning)


def _tried(
    models: Sequence[str],
    variants: Sequence[dict[str, Any]],
    instructions: Sequence[str] | None,
    sets: Sequence[LabelledSet],
    seed: int,
) -> list[str]:
    """The instructions to choose among: the data's own, which is the baseline, the caller's, and the library's."""
    from qwen3_reranker.evaluate.tuning import held_out, library

    if len(models) != 1 or len(variants) != 1:
        raise InputError("--tune-instruction needs one model, in one precision, with one prompt")
    # Judging takes long; that there are too few queries is told before.
    held_out([f"{labelled.name}/{query}" for labelled in sets for query in labelled.changed or labelled.qrels], seed)
    # Without an instruction in the data, the model's usual one is the baseline, and need not be tried twice.
    own = any(labelled.instruction or labelled.instructions for labelled in sets)
    return ["data", *(instructions or []), *(library() if own else library()[1:])]


def _candidates(
    models: Sequence[str], variants: Sequence[dict[str, Any]], instructions: Sequence[str] | None, one_model: bool
) -> list[Candidate]:
    """Every model in every variant with every instruction; labels say what differs; one_model: instructions alone."""
    from qwen3_reranker.evaluate import RUN_ENDINGS, Candidate

    texts = [None if text == "data" else text for text in dict.fromkeys(instructions or ["data"])]
    found = []
    for model in dict.fromkeys(models):
        name = Path(model).name if Path(model).exists() else model
        if model.endswith(RUN_ENDINGS):
            found.append(Candidate(name, model))
            continue
        for variant, text in product(variants, texts):
            parts = [] if one_model else [name]
            parts += [variant["precision"]] if len({each["precision"] for each in variants}) > 1 else []
            parts += [variant["prompt"]] if len({each["prompt"] for each in variants}) > 1 else []
            parts += ["the data's instruction" if text is None else f'"{text}"'] if len(texts) > 1 else []
            found.append(Candidate(", ".join(parts), model, text, variant))
    labels = [each.label for each in found]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise InputError(f"two systems would have the name {min(twice)!r}; give folders or files other names")
    return found


def _sets(places: Sequence[str]) -> list[LabelledSet]:
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.evaluate import read_sets
    from qwen3_reranker.evaluate.suites import SUITE_NAMES, suite_sets

    sets: list[LabelledSet] = []
    for place in dict.fromkeys(places):
        if place in SUITE_NAMES and not Path(place).exists():
            with ProgressBar(f"loading {place}") as bar:
                sets += suite_sets(place, bar)
        else:
            sets += read_sets(Path(place))
    names = [labelled.name for labelled in sets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"two sets are named {min(twice)!r}; name the folder above both, or rename one")
    return sets


def _stages(
    sets: Sequence[LabelledSet], wanted: Sequence[str], depth: int | None, seed: int, folder: Path
) -> list[FirstStage]:
    """Each set's lists; runs are given one a set, or one for all where there is one set."""
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.embedder import Embedder
    from qwen3_reranker.evaluate import RUN_ENDINGS, bm25, dense, given, stored

    if len(wanted) not in (1, len(sets)):
        raise InputError(f"--first-stage was given {len(wanted)} times for {len(sets)} sets; give one, or one for each")
    chosen = list(wanted) * (len(sets) if len(wanted) == 1 else 1)
    stages = []
    for number, (labelled, name) in enumerate(zip(sets, chosen, strict=True)):
        if name == "data" or (name == "auto" and labelled.candidates is not None):
            stages.append(given(labelled, depth))
        elif name in ("auto", "bm25"):
            with ProgressBar(f"BM25, set {number + 1} of {len(sets)}") as bar:
                stages.append(bm25(labelled, depth or DEPTH, seed, folder / "first-stages", bar))
        elif name.endswith(RUN_ENDINGS) or Path(name).is_file():
            stages.append(stored(labelled, Path(name), depth or DEPTH))
        else:
            with Embedder(name) as embedder, ProgressBar(f"embedding, set {number + 1} of {len(sets)}") as bar:
                stages.append(dense(labelled, embedder, depth or DEPTH, folder / "first-stages", bar))
    return stages


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


def _prompts(places: Sequence[str]) -> Sequence[str]:
    """The ways to write the prompt where none is named: a suite's own, or the usual one."""
    from qwen3_reranker.evaluate.suites import SUITE_NAMES, suite

    named = [prompt for place in places if place in SUITE_NAMES for prompt in suite(place).prompts]
    return list(dict.fromkeys(named)) or [flags.ENGINE.prompt]
