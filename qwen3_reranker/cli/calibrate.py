"""`calibrate`: labelled pairs -> a file that turns logits into probabilities, and a report of how far they hold."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.evaluate import DataOptions
from qwen3_reranker.cli.opened_reranker import download, open_reranker, refuse_server_options, warnings_noted
from qwen3_reranker.cli.output_file import text_output
from qwen3_reranker.cli.shared_options import ModelOrServerOptions, PrintOptions, format_option
from qwen3_reranker.cli.terminal import console_for, note, print_line, print_table
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Fit
    from qwen3_reranker.evaluate import LabelledSet

_PAIR_ENDINGS = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """How to fit, and what to hold."""

    group: ClassVar[str] = "Calibrating"
    instruction: str | None = option(
        None, "Say what makes a document relevant, for all queries.", unit="TEXT", shown="the data's, or the model's"
    )
    method: str | None = option(
        None,
        "The form of the map: two numbers (platt) or steps (isotonic).",
        choices=("platt", "isotonic"),
        shown="the one with the smaller log loss on held-out queries",
    )
    precisions: list[float] | None = option(
        None,
        "Also choose a threshold for --min-probability from which the best hit is right this often; may be repeated.",
        unit="P",
        flag="--answer-precision",
        least=0,
        most=1,
    )
    seed: int = option(0, "Seed of random draws.", unit="N")


@dataclass(frozen=True, kw_only=True)
class CalibrationOutput(PrintOptions):
    """Where the calibration and its report go."""

    group: ClassVar[str] = "Output"
    output: str = option("calibration.json", "The calibration goes to FILE.", unit="FILE", flag="--output, -o")
    folder: str = option(
        "evaluation",
        "For logits, lists and the report; logits that `evaluate` left there are used.",
        unit="FOLDER",
        flag="--folder",
    )
    form: str | None = format_option(("table", "json", "markdown"))


@declared
def calibrate(
    labelled: Annotated[list[str], Argument(metavar="LABELLED...")],
    *,
    options: CalibrationOptions,
    data: Annotated[DataOptions, without("on")],
    output: CalibrationOutput,
    model: ModelOrServerOptions,
    engine: EngineOptions,
    server: ServerOptions,
) -> None:
    """Fit probabilities that hold, on labelled pairs.

    The model's own probability is the sigmoid of its logit, and says little about how often a document with it is
    relevant. This fits a map that never falls, so no ranking changes, and shows on held-out queries how far its
    probabilities hold and when "none of these" is right.

    LABELLED is what `evaluate` takes with --on (folders in the layout of BEIR or TREC, JSON lines), or pairs:

      pairs.jsonl     {"query", "document", "label"} a line, also .csv, .tsv or .parquet; 1 and above is relevant

    A probability holds for pairs drawn as these were: the same model, instruction, first stage and depth. Lists with
    another share of relevant documents need a calibration of their own.

    Examples:
      qwen3-reranker calibrate my-data/ -o calibration.json
      qwen3-reranker calibrate pairs.jsonl -m Qwen/Qwen3-Reranker-0.6B --answer-precision 0.9
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --calibrated calibration.json --min-probability 0.5
    """
    from qwen3_reranker.calibrate import fit, judged_pairs, markdown, page
    from qwen3_reranker.cli.evaluate_inputs import FirstStageOptions, retrieved
    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.evaluate import with_positives

    refuse_server_options(model, server)
    if data.embedder is not None:
        raise InputError("--embedder is for `evaluate`; name an embedding model with --first-stage MODEL")
    sets = [each.drawn(data.queries, options.seed) for each in _sets(labelled)]
    folder = Path(output.folder)
    download(model)
    with warnings_noted(), ProgressBar("opening the model") as bar, open_reranker(model, engine, server) as reranker:
        bar.close()
        embedder = {**asdict(engine), "revision": model.revision}
        lists = FirstStageOptions(data.depth, options.seed, folder / "first-stages", embedder)
        stages = retrieved(sets, data.first_stage or ["auto"], lists)
        if data.with_positives:
            stages = [with_positives(*each) for each in zip(sets, stages, strict=True)]
        with ProgressBar("judging") as bar:
            pairs = judged_pairs(reranker, model.model, sets, stages, folder, options.instruction, bar)
    with ProgressBar("fitting"):
        found = fit(pairs, precisions=options.precisions or (), method=options.method, seed=options.seed)
    with text_output(output.output) as stream:
        stream.write(found.calibration.to_json())
    for name, content in (("md", markdown(found)), ("html", page(found))):
        (folder / f"calibration.{name}").write_text(content, encoding="utf-8")
    _print(found, output.chosen)
    note(f"{output.output} written, and a report to {folder / 'calibration.html'} and .md")


def _sets(places: Sequence[str]) -> list[LabelledSet]:
    """The labelled sets of all places. Files of pairs are sets too."""
    from qwen3_reranker.calibrate import labelled_pairs
    from qwen3_reranker.cli.evaluate_inputs import read_all
    from qwen3_reranker.documents.record_stream import RecordStream
    from qwen3_reranker.jobs.pairs import PairOptions, pairs_of

    files = [place for place in dict.fromkeys(places) if _holds_pairs(place)]
    sets = [labelled_pairs(Path(place).stem, pairs_of(RecordStream(place), PairOptions())) for place in files]
    return [*sets, *read_all([place for place in places if place not in files])]


def _holds_pairs(place: str) -> bool:
    """Whether a file has a record for each pair, rather than one for each query."""
    from qwen3_reranker.documents.record_stream import RecordStream

    path = Path(place)
    if not path.is_file() or path.parent.name == "qrels":
        return False
    if path.suffix == ".jsonl":
        return "document" in next(iter(RecordStream(place)), ("", {}))[1]
    return path.suffix in _PAIR_ENDINGS


def _print(found: Fit, form: str) -> None:
    from qwen3_reranker.calibrate import markdown
    from qwen3_reranker.calibrate.calibration_report import remarks, sections, verdict

    if form == "json":
        facts = asdict(found)
        facts["calibration"] = json.loads(found.calibration.to_json())
        # JSON has no word for a share of nothing.
        facts = json.loads(json.dumps(facts), parse_constant=lambda _: None)
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    if form == "markdown":
        print(markdown(found), end="")
        return
    console = console_for(sys.stdout)
    for section in sections(found):
        print_line(console, section.title)
        print_table(section.table, console)
        console.print()
    for text in (verdict(found), *remarks(found)):
        for line in textwrap.wrap(text, console.width, break_on_hyphens=False):
            print_line(console, line)
