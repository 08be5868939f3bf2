"""The verbs of `qwen3-reranker`, one file each, and what stands above them."""

from __future__ import annotations

from typing import Annotated

import typer

from qwen3_reranker import __version__
from qwen3_reranker.cli.bench import bench
from qwen3_reranker.cli.convert import convert
from qwen3_reranker.cli.doctor import doctor
from qwen3_reranker.cli.evaluate import evaluate
from qwen3_reranker.cli.help import Group, Verb
from qwen3_reranker.cli.inspect import inspect
from qwen3_reranker.cli.keys import keys
from qwen3_reranker.cli.rank import rank
from qwen3_reranker.cli.serve import serve
from qwen3_reranker.cli.train import train

app = typer.Typer(cls=Group, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


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

    Exit codes: 0 done, 1 no memory, no room to write, or faults that doctor found, 2 wrong input or a
    model of another kind, 3 a damaged checkpoint, 4 kernels that this installation or processor lacks, or a server or
    store of keys that does not answer, 5 scores that moved in a conversion, 130 interrupted.

    Examples:
      qwen3-reranker rank "take back my last commit" notes/
      qwen3-reranker rank "wifi keeps dropping" tickets.jsonl --top-k 5
      qwen3-reranker inspect nano
      qwen3-reranker serve
      qwen3-reranker doctor http://localhost:8000
      qwen3-reranker evaluate nano --on my-data/
      qwen3-reranker bench nano
      qwen3-reranker keys create "search team"
      qwen3-reranker train run data.jsonl --output runs/first
    """


app.command("rank", cls=Verb)(rank)
app.command("inspect", cls=Verb)(inspect)
app.command("evaluate", cls=Verb)(evaluate)
app.command("bench", cls=Verb)(bench)
app.command("convert", cls=Verb)(convert)
app.command("doctor", cls=Verb)(doctor)
app.command("serve", cls=Verb)(serve)
app.add_typer(keys, name="keys")
app.add_typer(train, name="train")
