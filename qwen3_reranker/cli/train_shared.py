"""What the verbs of `train` share: output options, reading of examples, printing of facts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qwen3_reranker.cli.shared_options import PrintOptions
from qwen3_reranker.cli.terminal import console_for, note, print_table
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option, required
from qwen3_reranker.row_table import OPEN_ENDED, Column, RowTable

if TYPE_CHECKING:
    from qwen3_reranker.train.example_file import TrainExample


@dataclass(frozen=True, kw_only=True)
class ExamplesOutput(PrintOptions):
    """Where examples go, and how to print what was done."""

    group: ClassVar[str] = "Output"
    output: str = required("File for the examples, as JSON lines.", unit="FILE", flag="--output, -o")
    resume: bool = option(False, "Continue after the lines that --output already holds.")


def read_files(files: Sequence[str]) -> list[TrainExample]:
    """The examples of files; raises InputError for a file that holds none."""
    from qwen3_reranker.train.example_file import read_examples

    found: list[TrainExample] = []
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
    rows = [
        [name.replace("_", " "), f"{value:,}" if type(value) is int else f"{value}"] for name, value in facts.items()
    ]
    print_table(RowTable([Column(), OPEN_ENDED], rows), console_for(sys.stdout), headed=False)
