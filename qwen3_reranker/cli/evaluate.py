"""`evaluate`: models and labelled data -> whether reranking helps, and how sure that is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.opened_reranker import flags, is_server, refuse_server_options, unusual, warnings_noted
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions, format_option
from qwen3_reranker.cli.terminal import note
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import PRECISIONS, EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.prompt import TEMPLATES

if TYPE_CHECKING:
    from qwen3_reranker.evaluate import Summary, Tuning


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to evaluate on, and the lists to rerank."""

    group: ClassVar[str] = "Data"
    on: list[str] | None = option(None, "What to evaluate on, as above; may be repeated.", unit="PATH|SUITE")
    first_stage: list[str] | None = option(
        None,
        "The lists to rerank: BM25's, the data's own, a stored TREC run (one for each set), those of a "
        "Qwen3-Embedding model, which runs as the first system does, or the passages that `search` would judge.",
        unit="bm25|data|RUN.trec|MODEL|index",
        shown="auto: the data's own where they have lists, otherwise bm25",
    )
    embedder: str | None = option(
        None, "Also search by meaning, with --first-stage index: a Qwen3-Embedding model.", unit="MODEL"
    )
    depth: int | None = option(
        None,
        "Documents of a list that are reranked; of an index, passages.",
        unit="N",
        shown="100; 40 of an index; all where the data bring their lists",
        least=1,
    )
    queries: int | None = option(
        None,
        "At most N queries of a set, drawn by --seed; a larger N keeps those of a smaller one.",
        unit="N",
        shown="all",
        least=1,
    )
    with_positives: bool = option(
        False, "Add relevant documents that the lists lack: this measures the reranker without the first stage."
    )


@dataclass(frozen=True, kw_only=True)
class ComparedOptions:
    """What systems differ in; each combination is a system."""

    group: ClassVar[str] = "Comparing"
    instructions: list[str] | None = option(
        None,
        "For all queries; repeat it to compare several. The word data means the data's own.",
        unit="TEXT",
        flag="--instruction",
        shown="data",
    )
    tune_instruction: bool = option(
        False,
        "Try a library of instructions, and those of --instruction, on one half of the queries, and say whether the "
        "winner is better on the other half.",
    )
    precisions: list[str] | None = option(
        None, "Repeat it to compare several.", choices=PRECISIONS, flag="--precision", shown="float32"
    )
    prompts: list[str] | None = option(
        None,
        "Repeat it to compare several.",
        choices=tuple(TEMPLATES),
        flag="--prompt",
        shown="what the files say, or card",
    )
    then: str | None = option(
        None,
        "A larger model that scores the best documents of each of MODELS: the quality and the time of such cascades, "
        "beside both models alone.",
        unit="NAME|URL",
    )
    bands: str = option(
        "10,20,50", "With --then: how many documents it scores; several give a curve.", unit="N,...", flag="--band"
    )
    margin: float = option(
        0.01, "With --then: how much worse than its model alone the smallest good band may be.", unit="X", least=0
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationOutput(PrintOptions):
    """What to measure, and where the results go."""

    group: ClassVar[str] = "Measuring"
    measures: str = option(
        "RR@10,R@100",
        "More measures than the one of each set: nDCG, nDCG-exp, AP, RR, R, P, success, Judged, with @10 or the like.",
        unit="NAME,...",
    )
    seed: int = option(0, "Seed of random draws.", unit="N")
    output: str = option(
        "evaluation", "Folder for logits, lists and reports.", unit="FOLDER", flag="--output, -o", group="Output"
    )
    form: str | None = format_option(("table", "json", "markdown"))


@declared
def evaluate(
    models: Annotated[list[str] | None, Argument(metavar="[MODEL]...")] = None,
    *,
    data: DataOptions,
    compare: ComparedOptions,
    output: EvaluationOutput,
    source: Annotated[ModelOptions, without("model")],
    engine: Annotated[EngineOptions, without("precision", "prompt", "special_tokens")],
    server: ServerOptions,
) -> None:
    """Show whether reranking helps on labelled data, and how sure that is.

    MODELS are nano, folders, Hub ids, URLs of rerank servers or stored runs (.trec, .run) of other rerankers. Each
    reranks the lists of a first stage, and is compared with the lists themselves, with their fusion with each model (by
    reciprocal ranks) and with the best order that they allow. Without a model, only the first stage is measured.

    --on takes:

      folder/         BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv; or TREC topics, qrels and corpus
      folder/qrels/dev.tsv   the same with these judgements; a folder of such folders is all of them
      lines.jsonl     {"query", "positive", "negative"} or {"query", "documents", "labels"} a line
      qrels.txt       TREC judgements alone, to measure stored runs
      suite           a column of Qwen's table, its data fetched by mteb: mteb-r, cmteb-r, mmteb-r, mldr, mteb-code,
                      followir, both prompts unless --prompt names one; or cheap: mldr-rerank, nanobeir

    Logits are stored query by query: after Ctrl-C, the same command continues where it stopped. The report is written
    to the output folder as Markdown, HTML and JSON.

    Examples:
      qwen3-reranker evaluate nano --on my-data/ --queries 50
      qwen3-reranker evaluate nano --on lines.jsonl --precision float32 --precision int8
      qwen3-reranker evaluate Qwen/Qwen3-Reranker-0.6B other.trec --on my-data/ --first-stage search.trec
      qwen3-reranker evaluate nano http://localhost:8000 --on my-data/
      qwen3-reranker evaluate nano --on my-data/ --first-stage index
      qwen3-reranker evaluate nano --on my-data/ --instruction data --instruction "Find the manual page"
      qwen3-reranker evaluate nano --on my-data/ --queries 100 --tune-instruction
      qwen3-reranker evaluate nano --then Qwen/Qwen3-Reranker-4B --on my-data/
    """
    if not data.on:
        raise InputError("nothing to evaluate on: name a folder, a file or a suite with --on")
    if compare.then is None and {"bands", "margin"} & unusual(compare).keys():
        raise InputError("--band and --margin are of cascades: they need --then")

    from qwen3_reranker.cli.evaluate_inputs import (
        FirstStageOptions,
        band_choice,
        check_openable,
        instructions_to_try,
        is_opened_here,
        read_all,
        retrieved,
        systems,
        usual_prompts,
    )
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.evaluate import Measure, compared, narrowed, tune
    from qwen3_reranker.evaluate import evaluate as evaluate_systems
    from qwen3_reranker.evaluate import with_positives as with_all_positives

    models = list(dict.fromkeys([*(models or []), *([] if compare.then is None else [compare.then])]))
    precisions = compare.precisions or [engine.precision]
    variants = [
        {**asdict(replace(engine, precision=precision, prompt=prompt)), "revision": source.revision}
        for precision, prompt in product(precisions, compare.prompts or usual_prompts(data.on))
    ]
    servers = [each for each in models if is_server(each)]
    if not servers:
        refuse_server_options(source, server)
    reach = asdict(server)
    if models and not (any(map(is_opened_here, models)) or data.first_stage or data.embedder):
        compared_here = {"precision": compare.precisions, "prompt": compare.prompts, "revision": source.revision}
        given = {**unusual(engine), **{name: value for name, value in compared_here.items() if value}}
        if given and not servers:
            raise InputError(f"{flags(given)} is for a model, and only stored runs are named")
        reach |= given
    with warnings_noted():
        check_openable(models, variants, reach, data.first_stage or [])
        if data.embedder is not None and "index" not in (data.first_stage or ()):
            raise InputError(
                "--embedder needs --first-stage index; name an embedding model alone with --first-stage MODEL"
            )
        extra = [Measure.parse(name) for name in output.measures.split(",") if name.strip()]
        folder, instructions = Path(output.output), compare.instructions
        sets = [labelled.drawn(data.queries, output.seed) for labelled in read_all(data.on)]
        if compare.tune_instruction:
            instructions = instructions_to_try(models, variants, instructions, sets, output.seed)
        candidates = systems(models, variants, reach, instructions, one_model=compare.tune_instruction)
        cascade = None
        if compare.then is not None:
            cascade = band_choice(candidates, compare.then, compare.bands, compare.margin)
        lists = FirstStageOptions(data.depth, output.seed, folder / "first-stages", variants[0], data.embedder)
        stages = retrieved(sets, data.first_stage or ["auto"], lists)
        if data.with_positives:
            stages = [with_all_positives(*each) for each in zip(sets, stages, strict=True)]
        with ProgressBar("judging") as bar:
            summary = evaluate_systems(
                sets, stages, candidates, folder, measures=extra, seed=output.seed, cascade=cascade, on_progress=bar
            )
    tuning = tune(summary) if compare.tune_instruction else None
    if tuning is not None:
        summary = narrowed(summary, {tuning.baseline, tuning.winner.label})
    _write(compared(summary), folder, output.chosen, tuning)


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
        from qwen3_reranker.cli.evaluate_table import write_summary

        write_summary(summary, sys.stdout, tuning)
    note(f"report written to {folder / 'report.html'}, .md and .json")
