"""`train`: verbs that prepare data, fine-tune a model and merge the results."""

from __future__ import annotations

import typer

from qwen3_reranker.cli.help import Verb, VerbGroup
from qwen3_reranker.cli.train_data import prepare, validate
from qwen3_reranker.cli.train_merge import merge
from qwen3_reranker.cli.train_mining import distil, mine, synthesise
from qwen3_reranker.cli.train_run import run

train = typer.Typer(cls=VerbGroup, add_completion=False)


@train.callback(invoke_without_command=True)
def _train(context: typer.Context) -> None:
    """Fine-tune a model on your own queries.

    Data are JSON lines, one query a line: {"query": "...", "pos": ["..."], "neg": ["..."]}, with "instruction",
    "pos_scores", "neg_scores", "id" and "source" as options. `prepare` makes them from files of other tools. `run`
    trains a LoRA adapter or all weights, and evaluates them on held-out queries; its models rank and convert like any
    other. Training needs pip install "qwen3_reranker[train]"; most of the other verbs do not.

    Examples:
      qwen3-reranker train prepare triplets.jsonl --output data.jsonl --hold-out 0.1
      qwen3-reranker train mine data.jsonl --output hard.jsonl
      qwen3-reranker train validate hard.jsonl --evaluate data.held-out.jsonl
      qwen3-reranker train run hard.jsonl --output runs/first --evaluate data.held-out.jsonl
      qwen3-reranker rank "my query" docs/ --model runs/first/model
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


train.command("prepare", cls=Verb)(prepare)
train.command("validate", cls=Verb)(validate)
train.command("mine", cls=Verb)(mine)
train.command("distil", cls=Verb)(distil)
train.command("synthesise", cls=Verb)(synthesise)
train.command("run", cls=Verb)(run)
train.command("merge", cls=Verb)(merge)
