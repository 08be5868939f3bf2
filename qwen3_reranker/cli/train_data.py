"""`train prepare` and `train validate`: files of any tool -> examples, and what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.flags import flag
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.cli.train_flags import FORMATS, Format, Output, Seed, print_facts, read_files

if TYPE_CHECKING:
    from qwen3_reranker.train.validation import Lengths, Report

INPUT_FORMATS = ("auto", "examples", "triplets", "pairs", "lists", "flag-embedding", "ms-swift")

Files = Annotated[list[str], Argument(metavar="FILE...")]
From = Annotated[
    str,
    flag("Data", "--from", value=flags.choice(INPUT_FORMATS), meaning="What the files are. [auto: by their fields]"),
]
Instruction = Annotated[
    str | None, flag("Data", "--instruction", value="TEXT", meaning="For examples that have none. [the model's own]")
]
Evaluate = Annotated[
    list[str] | None,
    flag("Data", "--evaluate", value="FILE", meaning="Held-out examples, which must share no query with the others."),
]
MaxLength = Annotated[
    int, flag("Prompt", "--max-length", value="N", meaning="Tokens of a row; a document's tail is cut. [1024]")
]
Losses = Annotated[
    str, flag("Data", "--loss", value="NAME", meaning="Check what this loss needs as well, as in bce+0.5*kl. [bce]")
]


def prepare(
    files: Files,
    *,
    output: Output,
    source: From = "auto",
    hold_out: Annotated[
        float,
        flag("Data", "--hold-out", value="SHARE", meaning="Share of queries to keep for evaluation, beside FILE. [0]"),
    ] = 0.0,
    instruction: Instruction = None,
    seed: Seed = 0,
    form: Format = None,
) -> None:
    """Turn any tool's training files into examples.

    Formats: examples (this package's own), triplets (query, positive, negative...), pairs (query, document, label),
    lists (query, docs, labels), flag-embedding, ms-swift (messages, and rejected_response of 3.7 and before); all as
    JSON lines, also packed as .xz. A label is yes or no, true or false, or a number in 0..1. With --hold-out 0.1 a
    tenth of the queries, chosen by their hash, goes to a file beside OUTPUT, .held-out.jsonl; queries with a positive
    document in common stay together.

    Examples:
      qwen3-reranker train prepare triplets.jsonl --output data.jsonl --hold-out 0.1
      qwen3-reranker train prepare a.jsonl b.jsonl.xz -o data.jsonl --instruction "Find the law that applies"
    """
    form = flags.chosen_format(form, FORMATS)
    flags.one_of("--from", source, INPUT_FORMATS)
    from dataclasses import replace

    from qwen3_reranker.train.examples import write_examples
    from qwen3_reranker.train.formats import read_any
    from qwen3_reranker.train.splitting import split, unlike_asked
    from qwen3_reranker.train.validation import check

    examples = [each for file in files for each in read_any(file, source, note)]
    if instruction is not None:
        examples = [each if each.instruction else replace(each, instruction=instruction) for each in examples]
    training, held_out = split(examples, hold_out, seed)
    if why := unlike_asked(training, held_out, hold_out):
        note(why)
    report = check(training, held_out)
    report.refuse()
    held_path = Path(output).with_suffix("").with_suffix(".held-out.jsonl")
    facts = {**_facts(report), "output": output, "held_out": 0}
    write_examples(output, training)
    if hold_out:
        facts |= {"held_out": write_examples(held_path, held_out), "held_out_file": str(held_path)}
    print_facts(facts, form)


def validate(
    files: Files,
    *,
    evaluate: Evaluate = None,
    model: flags.Model = "nano",
    revision: flags.Revision = None,
    max_length: MaxLength = 1024,
    loss: Losses = "bce",
    no_preview: Annotated[bool, flag("Prompt", "--no-preview", meaning="Do not print a rendered prompt.")] = False,
    form: Format = None,
) -> None:
    """Say what examples hold and what is wrong with them.

    And print what the model will read. Refused (exit code 2): a file that is not as it must be, empty texts, data of
    one kind only, a document that is both positive and negative for a query, held-out queries or their
    positives that are trained on.

    Examples:
      qwen3-reranker train validate data.jsonl
      qwen3-reranker train validate data.jsonl --evaluate held-out.jsonl --model Qwen/Qwen3-Reranker-0.6B --loss kl
    """
    form = flags.chosen_format(form, FORMATS)
    from qwen3_reranker.tokens import Tokens
    from qwen3_reranker.train.loss_mix import parse_mix
    from qwen3_reranker.train.validation import check, lengths, rendered, taught_template
    from qwen3_reranker.weights import open_checkpoint

    mix, checkpoint = tuple(parse_mix(loss)), open_checkpoint(model, revision)
    examples, held_out = read_files(files), read_files(evaluate or [])
    report = check(examples, held_out, mix)
    report.refuse()
    template = taught_template(checkpoint)
    tokens = Tokens(
        checkpoint.tokenizer,
        **template.constants,
        max_length=checkpoint.config.row_length(max_length),
        truncate_queries=True,
    )
    shown = [] if no_preview else rendered(examples[0], template)
    found = lengths(examples, template, tokens)
    if form == "json":
        preview = [{"answer": answer, "prompt": text} for answer, text in shown]
        print(json.dumps({**_facts(report), "tokens": asdict(found), "preview": preview}, indent=2, ensure_ascii=False))
        return
    print_facts({**_facts(report), "tokens": _told(found)}, form)
    for answer, text in shown:
        print(f"\nThe model reads this, and is to answer {answer}:\n")
        print("\n".join(f"  {visible(line)}" for line in text.split("\n")))


def _facts(report: Report) -> dict[str, Any]:
    for warning in report.warnings:
        note(str(warning))
    return {
        "queries": report.examples,
        "positives": report.positives,
        "negatives": report.negatives,
        "with_scores": report.scored,
        "instructions": report.instructions,
    }


def _told(found: Lengths) -> str:
    return (
        f"median {found.median:,}, 95% within {found.high:,}, longest {found.longest:,}; "
        f"{found.cut:,} of {found.rows:,} rows cut at {found.max_length:,}"
    )
