"""`train run`: a model and examples -> a model that knows them, judged on queries that were held out."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from typing import Annotated

from typer import Argument, Exit

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.flags import flag
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.cli.train_flags import read_files, resumable
from qwen3_reranker.errors import UnavailableError

Output = Annotated[
    str, flag("Output", "--output", "-o", value="FOLDER", meaning="The run's folder; FOLDER/model ranks.")
]
Resume = Annotated[bool, flag("Output", "--resume", meaning="Go on where the folder's run was left.")]
Evaluate = Annotated[
    list[str] | None,
    flag("Data", "--evaluate", value="FILE", meaning="Held-out examples. [a share of FILE]"),
]
HoldOut = Annotated[
    float,
    flag("Data", "--hold-out", value="SHARE", meaning="Queries to hold out where --evaluate is not given. [0.1]"),
]
Method = Annotated[str, flag("Learning", "--method", value="lora|full", meaning="Adapters, or all weights. [lora]")]
Loss = Annotated[
    str,
    flag(
        "Learning",
        "--loss",
        value="MIX",
        meaning="bce, sft (the paper's), softmax, ranknet, lambda, and with a teacher's scores soft-bce, margin-mse, "
        "kl; or a mix as bce+0.5*kl. Without bce or sft, probabilities lose their meaning. [bce]",
    ),
]
Epochs = Annotated[int, flag("Learning", "--epochs", value="N", meaning="Times that every query is seen. [1]")]
Steps = Annotated[int | None, flag("Learning", "--steps", value="N", meaning="Steps, in place of --epochs.")]
BatchGroups = Annotated[int, flag("Learning", "--batch", value="N", meaning="Queries a step. [8]")]
Rate = Annotated[float | None, flag("Learning", "--rate", value="X", meaning="The highest rate. [1e-4, full 1e-5]")]
Schedule = Annotated[
    str, flag("Learning", "--schedule", value="cosine|linear|constant", meaning="After 5% of warm-up. [cosine]")
]
Rank = Annotated[int, flag("Learning", "--rank", value="N", meaning="Of the adapters; their alpha is twice that. [16]")]
Anchor = Annotated[
    float,
    flag("Learning", "--anchor", value="X", meaning="Weight of a penalty for moving away from the start model. [0]"),
]
Patience = Annotated[
    int, flag("Learning", "--patience", value="N", meaning="Stop after N evaluations without a better one. [never]")
]
Seed = Annotated[int, flag("Learning", "--seed", value="N", meaning="All that is drawn follows from it. [0]")]
Positives = Annotated[
    int, flag("Groups", "--positives", value="N", meaning="Positives a query, drawn every epoch. [1]")
]
Negatives = Annotated[int, flag("Groups", "--negatives", value="N", meaning="Negatives a query, likewise. [7]")]
RandomNegatives = Annotated[
    int, flag("Groups", "--random-negatives", value="N", meaning="More of them, from other queries. [0]")
]
MaxLength = Annotated[
    int, flag("Groups", "--max-length", value="N", meaning="Tokens of a row; a document's tail is cut. [1024]")
]
Temperature = Annotated[float, flag("Groups", "--temperature", value="X", meaning="Of softmax and kl. [1]")]
PositiveWeight = Annotated[
    float, flag("Groups", "--positive-weight", value="X", meaning="Of a positive beside a negative in bce. [1]")
]
Precision = Annotated[
    str, flag("Engine", "--precision", value="float32|bfloat16", meaning="What products run in. [float32]")
]
Device = Annotated[
    str | None, flag("Engine", "--device", value="NAME", meaning="cuda, cuda:1, mps, cpu. [the first there is]")
]
MaxBatchTokens = Annotated[
    int,
    flag("Engine", "--max-batch-tokens", value="N", meaning="Computed at once; less takes less memory. [16384]"),
]
Checkpointing = Annotated[
    bool, flag("Engine", "--checkpointing", meaning="Compute wide states twice rather than keep them: less memory.")
]
EvaluateEvery = Annotated[
    int | None, flag("Output", "--evaluate-every", value="N", meaning="Steps between evaluations. [a tenth of all]")
]
SaveEvery = Annotated[int, flag("Output", "--save-every", value="N", meaning="Steps between saved states. [100]")]
Tensorboard = Annotated[bool, flag("Output", "--tensorboard", meaning="Write logs for TensorBoard beside the CSV.")]
KeepLast = Annotated[
    bool,
    flag("Output", "--keep-last", meaning="Write the last weights even if no evaluation beat the start model."),
]
NO_GAIN = 5


def run(
    data: Annotated[list[str], Argument(metavar="FILE...")],
    *,
    output: Output,
    model: flags.Model = "nano",
    revision: flags.Revision = None,
    evaluate: Evaluate = None,
    hold_out: HoldOut = 0.1,
    method: Method = "lora",
    loss: Loss = "bce",
    epochs: Epochs = 1,
    steps: Steps = None,
    batch_groups: BatchGroups = 8,
    rate: Rate = None,
    schedule: Schedule = "cosine",
    rank: Rank = 16,
    anchor: Anchor = 0.0,
    patience: Patience = 0,
    seed: Seed = 0,
    positives: Positives = 1,
    negatives: Negatives = 7,
    random_negatives: RandomNegatives = 0,
    max_length: MaxLength = 1024,
    temperature: Temperature = 1.0,
    positive_weight: PositiveWeight = 1.0,
    precision: Precision = "float32",
    device: Device = None,
    max_batch_tokens: MaxBatchTokens = 16384,
    checkpointing: Checkpointing = False,
    evaluate_every: EvaluateEvery = None,
    save_every: SaveEvery = 100,
    tensorboard: Tensorboard = False,
    resume: Resume = False,
    keep_last: KeepLast = False,
) -> None:
    """Train a model on examples.

    The model is judged before the first step and as it learns, on --evaluate or on a tenth of the queries that is held
    out by their hash; the weights that ordered them best are kept in FOLDER/model: an adapter that names its base, or a
    whole checkpoint, with a card. Where no evaluation beats the start model, none are kept, and the exit code is 5.
    Logs are CSV. Ctrl-C ends after the step under way, a second one at once; --resume goes on, and on a processor with
    the same number of threads ends with the same bits. Documents of a query are one tree, so its prompt is computed
    once, and its gradient too. Several GPUs: accelerate launch -m qwen3_reranker train run ...

    Examples:
      qwen3-reranker train run data.jsonl --output runs/first
      qwen3-reranker train run data.jsonl -o runs/big --model Qwen/Qwen3-Reranker-0.6B --precision bfloat16
      qwen3-reranker train run taught.jsonl -o runs/student --loss kl+bce --epochs 3 --patience 3
    """
    if find_spec("torch") is None:
        raise UnavailableError('training needs torch, which is not installed: pip install "qwen3_reranker[train]"')
    from qwen3_reranker.train.finetuning import finetune
    from qwen3_reranker.train.options import TrainOptions
    from qwen3_reranker.train.splitting import split, unlike_asked
    from qwen3_reranker.weights import open_checkpoint

    options = TrainOptions(
        method=method,
        loss=loss,
        epochs=epochs,
        steps=steps,
        batch_groups=batch_groups,
        max_batch_tokens=max_batch_tokens,
        max_length=max_length,
        positives=positives,
        negatives=negatives,
        random_negatives=random_negatives,
        rate=rate,
        schedule=schedule,
        rank=rank,
        alpha=2.0 * rank,
        positive_weight=positive_weight,
        temperature=temperature,
        anchor=anchor,
        precision=precision,
        checkpointing=checkpointing,
        evaluate_every=evaluate_every,
        save_every=save_every,
        patience=patience,
        seed=seed,
    )
    # Large data take long to read, and a wrong name is told at once.
    open_checkpoint(model, revision)
    examples = read_files(data)
    if evaluate is None:
        examples, held_out = split(examples, hold_out, seed)
        if held_out and (why := unlike_asked(examples, held_out, hold_out)):
            note(why)
    else:
        held_out = read_files(evaluate)
    if not held_out:
        note("nothing is held out, so nothing will be known of the result's quality")

    def tell(line: str) -> None:
        print(visible(line), file=sys.stderr, flush=True)

    with resumable(), ProgressBar("training") as bar:
        outcome = finetune(
            model,
            examples,
            output,
            options,
            evaluation=held_out,
            revision=revision,
            device=device,
            resume=resume,
            tensorboard=tensorboard,
            keep_last=keep_last,
            command=shlex.join(["qwen3-reranker", *sys.argv[1:]]),
            tell=tell,
            on_progress=bar,
        )
    standing = outcome.standing
    tell(standing.savings)
    if outcome.model is None:
        note(
            "no evaluation beat the start model, so no model was written; more data, another --rate or --loss may "
            "help; the same command with --resume --keep-last writes the last weights"
        )
        raise Exit(NO_GAIN)
    if held_out and standing.best_step == 0:
        note("no evaluation beat the start model: these are the last weights, and the start is the better model")
    print(outcome.model)
