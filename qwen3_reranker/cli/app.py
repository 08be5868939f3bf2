"""The verbs of `qwen3-reranker`, one module each, and the program's own help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from qwen3_reranker import __version__
from qwen3_reranker.cli.help import Verb, VerbGroup

VERBS = (
    "rank",
    "score",
    "embed",
    "search",
    "index",
    "models",
    "download",
    "inspect",
    "evaluate",
    "calibrate",
    "bench",
    "convert",
    "push",
    "doctor",
    "serve",
    "mcp",
    "keys",
    "train",
)


# Modules of verbs whose own name is that of another module of the package.
MODULES = {"score": "score_pairs", "models": "known_models"}


class LazyVerbs(Mapping[str, Any]):
    """Commands by name; a verb's module is imported when the verb is used."""

    def __getitem__(self, name: str) -> Any:
        if name not in VERBS:
            raise KeyError(name)
        found = getattr(import_module(f"qwen3_reranker.cli.{MODULES.get(name, name)}"), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name, cls=Verb)(found)
            found = alone
        command: Any = typer.main.get_command(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class Program(VerbGroup):
    """The program."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = LazyVerbs()


app = typer.Typer(cls=Program, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"qwen3-reranker {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Rerank documents with Qwen3-Reranker models.

    The model reads the query and each document together and says how strongly the document answers.
    A small model, nano, comes with the package; nothing is downloaded unless you name a model of the Hub.

    Exit codes:
      0    done
      1    no memory or no space on the disk; or doctor found faults
      2    wrong input, or a model of another kind
      3    a damaged checkpoint
      4    kernels or a library that are not installed; a server or store of keys that does not answer; or the Hub
           refuses a model
      5    scores moved too far in a conversion, or training made no better model
      130  interrupted

    Examples:
      qwen3-reranker rank "take back my last commit" notes/
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --top-k 5
      qwen3-reranker score pairs.jsonl -o scored.jsonl
      qwen3-reranker models
      qwen3-reranker inspect nano
      qwen3-reranker serve
      qwen3-reranker mcp
      qwen3-reranker doctor http://localhost:8000
      qwen3-reranker evaluate nano --on my-data/
      qwen3-reranker bench nano
      qwen3-reranker keys create "search team"
      qwen3-reranker train run data.jsonl --output runs/first
    """
