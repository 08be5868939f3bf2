"""Flags that verbs share or that fill a screen: types with their names, groups and help. Defaults stand in brackets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from typer import Argument, Option

from qwen3_reranker.cli.terminal import on_terminal
from qwen3_reranker.config import (
    BACKENDS,
    BATCH_TOKENS_OF,
    KERNELS,
    PRECISIONS,
    PRECISIONS_OF,
    SPECIAL_TOKENS,
    EngineOptions,
)
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.prompt import TEMPLATES

ENGINE = EngineOptions()
INPUT_FORMATS = ("auto", "lines", "jsonl", "json", "csv", "tsv", "whole")
CHUNK_WORDS = 200
TABLE_ROWS = 10


def one_of(name: str, value: str, known: Sequence[str]) -> str:
    """The value; raises InputError unless it is among the known ones."""
    if value not in known:
        raise unknown(name, value, known)
    return value


def at_least_one(name: str, value: int | None) -> int | None:
    """The value; raises InputError if it is below 1."""
    if value is not None and value < 1:
        raise InputError(f"{name} must be at least 1, got {value}")
    return value


def choice(names: Sequence[str]) -> str:
    """How a help page writes a choice of names."""
    return "|".join(names)


def chosen_format(form: str | None, known: Sequence[str], otherwise: str = "json") -> str:
    """How to print: what was asked for, or a table on a terminal and `otherwise` elsewhere; raises InputError."""
    return one_of("--format", form or ("table" if on_terminal(sys.stdout) else otherwise), known)


def format_flag(known: Sequence[str], otherwise: str = "json", what: str = "it") -> Any:
    """The flag whose value `chosen_format` takes."""
    meaning = f"How to print {what}. [table on a terminal, otherwise {otherwise}]"
    return flag("Output", "--format", value=choice(known), meaning=meaning)


def flag(group: str, *names: str, value: str | None = None, meaning: str) -> Any:
    """An option in a group of the help page; value: what stands for its value there."""
    return Option(*names, metavar=value, help=meaning, rich_help_panel=group, autocompletion=_completion(value))


def _completion(value: str | None) -> Callable[[str], list[str]] | None:
    """What a shell completes a value to: the names of a choice; places of a metavar such as FILE are none."""
    names = [name for name in (value or "").split("|") if name == name.lower()]
    if value is None or len(names) < 2:
        return None

    def beginning(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return beginning


Arguments = Annotated[list[str] | None, Argument(metavar="QUERY DOCUMENTS...")]

QueryFile = Annotated[
    str | None,
    flag("Ranking", "--query-file", value="FILE", meaning="Read the query from FILE; all arguments are documents."),
]
TopK = Annotated[
    int | None,
    flag("Ranking", "--top-k", "-k", value="N", meaning=f"Show the N best. [{TABLE_ROWS} in a table, otherwise all]"),
]
Instruction = Annotated[
    str | None,
    flag(
        "Ranking",
        "--instruction",
        value="TEXT",
        meaning="Say what makes a document relevant, best in English. [to answer a web search query]",
    ),
]

InputFormat = Annotated[
    str,
    flag(
        "Documents",
        "--input-format",
        value=choice(INPUT_FORMATS),
        meaning="Read every file alike: a document a line; records of JSON lines, of a JSON array, of a table with a "
        "header; a document a file. [auto, as above]",
    ),
]
Field = Annotated[
    str, flag("Documents", "--field", value="NAME", meaning="The field or column of a record that is its text. [text]")
]
IdField = Annotated[
    str | None,
    flag("Documents", "--id-field", value="NAME", meaning="The one that is its id. [id or _id, where there is one]"),
]
Glob = Annotated[
    str | None,
    flag(
        "Documents",
        "--glob",
        value="PATTERN",
        meaning="In folders, read only files whose name matches; a PATTERN with a / is matched with paths.",
    ),
]
Chunk = Annotated[
    bool,
    flag(
        "Documents",
        "--chunk",
        meaning="Split long files into passages, cut at headings and blank lines; sources name lines.",
    ),
]
ChunkWords = Annotated[
    int | None,
    flag("Documents", "--chunk-words", value="N", meaning=f"The same, at most N words a passage. [{CHUNK_WORDS}]"),
]

ExplainPlan = Annotated[
    bool,
    flag("Output", "--explain-plan", meaning="Print the tree of what texts share and what that saves; rank nothing."),
]

Model = Annotated[
    str,
    flag(
        "Model",
        "--model",
        "-m",
        value="NAME",
        meaning="nano, a folder, a GGUF file, or a Hub id such as owner/name or owner/name:Q8_0. [nano]",
    ),
]
Revision = Annotated[
    str | None,
    flag("Model", "--revision", value="NAME", meaning="Branch, tag or commit of a model on the Hub. [main]"),
]
PROMPTS = choice(tuple(TEMPLATES))
Prompt = Annotated[
    str | None,
    flag(
        "Model",
        "--prompt",
        value=PROMPTS,
        meaning="The prompt that the model was trained with. [what its files say, or card]",
    ),
]

MaxLength = Annotated[
    int | None,
    flag(
        "Engine",
        "--max-length",
        value="N",
        meaning="Tokens of prompt and document together; what a document has more is cut. [8192, or the model's limit]",
    ),
]
TruncateQueries = Annotated[
    bool, flag("Engine", "--truncate-queries", meaning="Cut a query that leaves no room, rather than refuse it.")
]
SpecialTokens = Annotated[
    str,
    flag(
        "Engine",
        "--special-tokens",
        value=choice(SPECIAL_TOKENS),
        meaning="Take <|im_end|> and its like in your texts as text or as control tokens. [literal]",
    ),
]
MaxBatchTokens = Annotated[
    int | None,
    flag(
        "Engine",
        "--max-batch-tokens",
        value="N",
        meaning=f"Tokens computed at once: memory grows with it, scores do not change. "
        f"[{BATCH_TOKENS_OF['cpu']}; on torch {BATCH_TOKENS_OF['torch']}]",
    ),
]
NumThreads = Annotated[
    int | None,
    flag("Engine", "--threads", value="N", meaning="Threads that compute. [as many as the process may use]"),
]
Backend = Annotated[
    str,
    flag(
        "Engine",
        "--backend",
        value=choice(BACKENDS),
        meaning="What runs the network: torch is for GPUs, reference is plain and slow. [cpu]",
    ),
]
Device = Annotated[
    str | None,
    flag(
        "Engine",
        "--device",
        value="NAME",
        meaning="Where --backend torch runs: cuda, cuda:1, mps, cpu. [the first there is]",
    ),
]
Precision = Annotated[
    str,
    flag(
        "Engine",
        "--precision",
        value=choice(PRECISIONS),
        meaning="; ".join(f"on {name} {', '.join(some)}" for name, some in PRECISIONS_OF.items()) + ". [float32]",
    ),
]
Kernels = Annotated[
    str,
    flag(
        "Engine",
        "--kernels",
        value=choice(KERNELS),
        meaning="What computes. On cpu: native is the best compiled variant that this processor runs. "
        "On torch: compiled fuses, and starts slower. [native]",
    ),
]
NoDiskCache = Annotated[
    bool,
    flag(
        "Engine",
        "--no-disk-cache",
        meaning="Round weights to 8 bits anew at every start, rather than keep them beside the model's files.",
    ),
]
