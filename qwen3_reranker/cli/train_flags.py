"""What the verbs of `train` share: flags, and how their facts are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from qwen3_reranker.cli.flags import flag, format_flag
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.train.examples import Example

FORMATS = ("table", "json")


Data = Annotated[str, Argument(metavar="FILE")]
Output = Annotated[str, flag("Output", "--output", "-o", value="FILE", meaning="Where the examples go, as JSON lines.")]
Format = Annotated[str | None, format_flag(FORMATS, what="what was done")]
Seed = Annotated[int, flag("Data", "--seed", value="N", meaning="What is drawn at random follows from it. [0]")]
Resume = Annotated[bool, flag("Output", "--resume", meaning="Go on behind the lines that --output holds.")]


def read_files(files: Sequence[str]) -> list[Example]:
    """The examples of files; raises InputError for a file that holds none."""
    from qwen3_reranker.train.examples import read_examples

    found: list[Example] = []
    for file in files:
        some = read_examples(file)
        if not some:
            raise InputError(f'{file}: no examples; expected lines of {{"query", "pos", "neg"}}')
        found += some
    return found


@contextmanager
def resumable() -> Iterator[None]:
    """Say after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        note("stopped; the same command with --resume goes on")
        raise


def print_facts(facts: dict[str, Any], form: str) -> None:
    """The facts as a JSON object, or one a line."""
    if form == "json":
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, value in facts.items():
        shown = f"{value:,}" if type(value) is int else visible(str(value))
        print(f"{name.replace('_', ' '):<14}  {shown}")
