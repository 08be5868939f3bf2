"""`train run`: a model and examples -> a fine-tuned model, evaluated on held-out queries."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Annotated, ClassVar

from typer import Argument, Exit

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.push import check_push, send
from qwen3_reranker.cli.shared_options import ModelOptions, PushOptions
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.cli.train_shared import read_files, resumable
from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.option_fields import option, required
from qwen3_reranker.train.train_options import TrainOptions

NO_GAIN = 5


@dataclass(frozen=True, kw_only=True)
class HeldOutOptions:
    """Examples that the model is judged on and never learns from."""

    group: ClassVar[str] = "Data"
    evaluate: list[str] | None = option(None, "Held-out examples.", unit="FILE", shown="a share of FILE")
    hold_out: float = option(0.1, "Share of queries to hold out without --evaluate.", unit="SHARE")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run goes, and what is written."""

    group: ClassVar[str] = "Output"
    output: str = required("Folder of the run; FOLDER/model is the model.", unit="FOLDER", flag="--output, -o")
    device: str | None = option(
        None, "cuda, cuda:1, mps, cpu.", unit="NAME", shown="the first there is", group="Engine"
    )
    resume: bool = option(False, "Continue the run in the folder.")
    tensorboard: bool = option(False, "Write logs for TensorBoard next to the CSV.")
    keep_last: bool = option(False, "Write the last weights even if no evaluation is better than the start model's.")


@declared
def run(
    data: Annotated[list[str], Argument(metavar="FILE...")],
    *,
    model: ModelOptions,
    held: HeldOutOptions,
    options: TrainOptions,
    output: RunOptions,
    hub: PushOptions,
) -> None:
    """Train a model on examples.

    The model is evaluated before the first step and during training, on --evaluate or on a tenth of the queries, held
    out by their hash. The weights with the best order are written to FOLDER/model: an adapter that names its base, or a
    whole checkpoint, with a model card. If no evaluation is better than the start model's, no model is written, and the
    exit code is 5. Logs are CSV. Ctrl-C ends training after the current step, a second one at once; --resume continues,
    and on a CPU with the same number of threads gives the same bits. --push sends the model with its card to a
    repository of the Hub, never data or state; the token is that of HF_TOKEN or `hf auth login`, and is tried before
    the first step. The documents of a query are one tree, so its
    prompt is computed once, and its gradient too. Several GPUs: accelerate launch -m qwen3_reranker train run ...

    Examples:
      qwen3-reranker train run data.jsonl --output runs/first
      qwen3-reranker train run data.jsonl -o runs/big --model Qwen/Qwen3-Reranker-0.6B --precision bfloat16
      qwen3-reranker train run taught.jsonl -o runs/student --loss kl+bce --epochs 3 --patience 3
      qwen3-reranker train run data.jsonl -o runs/first --push owner/name --private
    """
    if find_spec("torch") is None:
        raise UnavailableError('training needs torch, which is not installed: pip install "qwen3_reranker[train]"')
    from qwen3_reranker.hub.upload import refuse_local_base
    from qwen3_reranker.train.finetuning import finetune
    from qwen3_reranker.train.run import TrainRun
    from qwen3_reranker.train.saving import base_of
    from qwen3_reranker.train.splitting import split, unlike_asked
    from qwen3_reranker.weights import open_checkpoint

    options = replace(options, alpha=2.0 * options.rank)
    # Large data take long to read, so a wrong name is refused before.
    checkpoint = open_checkpoint(model.model, model.revision)
    check_push(hub)
    if hub.push and options.method == "lora":
        refuse_local_base(base_of(checkpoint, model.revision).name)
    examples = read_files(data)
    if held.evaluate is None:
        examples, held_out = split(examples, held.hold_out, options.seed)
        if held_out and (why := unlike_asked(examples, held_out, held.hold_out)):
            note(why)
    else:
        held_out = read_files(held.evaluate)
    if not held_out:
        note("nothing is held out, so nothing will be known of the result's quality")

    def say(line: str) -> None:
        print(visible(line), file=sys.stderr, flush=True)

    with resumable(), ProgressBar("training") as bar:
        outcome = finetune(
            TrainRun(
                output.output,
                model.model,
                examples,
                options,
                held_out=held_out,
                revision=model.revision,
                device=output.device,
                tensorboard=output.tensorboard,
                keep_last=output.keep_last,
                command=shlex.join(["qwen3-reranker", *sys.argv[1:]]),
            ),
            resume=output.resume,
            on_message=say,
            on_progress=bar,
        )
    state = outcome.state
    say(state.savings)
    if outcome.model is None:
        note(
            "no evaluation beat the start model, so no model was written; more data, another --rate or --loss may "
            "help; the same command with --resume --keep-last writes the last weights"
        )
        raise Exit(NO_GAIN)
    if held_out and state.best_step == 0:
        note("no evaluation beat the start model: these are the last weights, and the start is the better model")
    print(outcome.model, flush=True)
    if hub.push and outcome.is_first:
        print(send(outcome.model, hub))
