"""`train prepare` and `train validate`: files of any tool -> checked examples."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.cli.train_shared import ExamplesOutput, print_facts, read_files
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.train.validation import DataReport, Lengths

INPUT_FORMATS = ("auto", "examples", "triplets", "pairs", "lists", "flag-embedding", "ms-swift")


@dataclass(frozen=True, kw_only=True)
class TrainPrepareOptions:
    """What the files are, and what becomes of them."""

    group: ClassVar[str] = "Data"
    source: str = option(
        "auto", "The format of the files.", choices=INPUT_FORMATS, flag="--from", shown="auto: by their fields"
    )
    hold_out: float = option(
        0.0, "Share of queries to keep for evaluation, in a file next to FILE.", unit="SHARE", shown="0"
    )
    instruction: str | None = option(None, "For examples that have none.", unit="TEXT", shown="the model's own")
    seed: int = option(0, "Seed of everything that is drawn at random.", unit="N")


@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """What to check examples against."""

    group: ClassVar[str] = "Data"
    evaluate: list[str] | None = option(
        None, "Held-out examples, which must share no query with the others.", unit="FILE"
    )
    loss: str = option("bce", "Check also what this loss needs, as in bce+0.5*kl.", unit="NAME")
    max_length: int = option(
        1024, "Tokens of prompt and document together; the end of a longer document is cut.", unit="N", group="Prompt"
    )
    no_preview: bool = option(False, "Do not print a prompt as the model reads it.", group="Prompt")


@declared
def prepare(
    files: Annotated[list[str], Argument(metavar="FILE...")],
    *,
    options: TrainPrepareOptions,
    output: Annotated[ExamplesOutput, without("resume")],
) -> None:
    """Turn training files of other tools into examples.

    Formats: examples (this package's own), triplets (query, positive, negative...), pairs (query, document, label),
    lists (query, docs, labels), flag-embedding, ms-swift (messages, and rejected_response of 3.7 and before); all as
    JSON lines, also packed as .xz. A label is yes or no, true or false, or a number in 0..1. With --hold-out 0.1 a
    tenth of the queries, chosen by their hash, goes to a file next to OUTPUT, .held-out.jsonl; queries with a positive
    document in common stay together.

    Examples:
      qwen3-reranker train prepare triplets.jsonl --output data.jsonl --hold-out 0.1
      qwen3-reranker train prepare a.jsonl b.jsonl.xz -o data.jsonl --instruction "Find the law that applies"
    """
    from qwen3_reranker.train.example_file import write_examples
    from qwen3_reranker.train.import_formats import read_any
    from qwen3_reranker.train.splitting import split, unlike_asked
    from qwen3_reranker.train.validation import check

    examples = [each for file in files for each in read_any(file, options.source, note)]
    if (instruction := options.instruction) is not None:
        examples = [each if each.instruction else replace(each, instruction=instruction) for each in examples]
    training, held_out = split(examples, options.hold_out, options.seed)
    if why := unlike_asked(training, held_out, options.hold_out):
        note(why)
    report = check(training, held_out)
    report.refuse()
    held_path = Path(output.output).with_suffix("").with_suffix(".held-out.jsonl")
    facts = {**_facts(report), "output": output.output, "held_out": 0}
    write_examples(output.output, training)
    if options.hold_out:
        facts |= {"held_out": write_examples(held_path, held_out), "held_out_file": str(held_path)}
    print_facts(facts, output.chosen)


@declared
def validate(
    files: Annotated[list[str], Argument(metavar="FILE...")],
    *,
    options: ValidationOptions,
    model: ModelOptions,
    output: PrintOptions,
) -> None:
    """Check examples, and show what they hold.

    An example is printed as the model reads it. Refused (exit code 2): a file in another format, empty texts, only
    positives or only negatives, a document that is both positive and negative for a query, held-out queries or
    positives of them that are also in the training data.

    Examples:
      qwen3-reranker train validate data.jsonl
      qwen3-reranker train validate data.jsonl --evaluate held-out.jsonl --model Qwen/Qwen3-Reranker-0.6B --loss kl
    """
    from qwen3_reranker.tokens import Tokens
    from qwen3_reranker.train.loss_mix import parse_mix
    from qwen3_reranker.train.validation import check, lengths, rendered, taught_template
    from qwen3_reranker.weights import open_checkpoint

    mix, checkpoint = tuple(parse_mix(options.loss)), open_checkpoint(model.model, model.revision)
    examples, held_out = read_files(files), read_files(options.evaluate or [])
    report = check(examples, held_out, mix)
    report.refuse()
    template = taught_template(checkpoint)
    tokens = Tokens(
        checkpoint.tokenizer,
        **template.constants,
        max_length=checkpoint.config.row_length(options.max_length),
        truncate_queries=True,
    )
    shown = [] if options.no_preview else rendered(examples[0], template)
    found = lengths(examples, template, tokens)
    if output.chosen == "json":
        preview = [{"answer": answer, "prompt": text} for answer, text in shown]
        print(json.dumps({**_facts(report), "tokens": asdict(found), "preview": preview}, indent=2, ensure_ascii=False))
        return
    print_facts({**_facts(report), "tokens": _lengths_line(found)}, output.chosen)
    for answer, text in shown:
        print(f"\nThe model reads this, and is to answer {answer}:\n")
        print("\n".join(f"  {visible(line)}" for line in text.split("\n")))


def _facts(report: DataReport) -> dict[str, Any]:
    for warning in report.warnings:
        note(str(warning))
    return {
        "queries": report.examples,
        "positives": report.positives,
        "negatives": report.negatives,
        "with_scores": report.scored,
        "instructions": report.instructions,
    }


def _lengths_line(found: Lengths) -> str:
    return (
        f"median {found.median:,}, 95% within {found.high:,}, longest {found.longest:,}; "
        f"{found.cut:,} of {found.rows:,} rows cut at {found.max_length:,}"
    )
