"""Training on trees against sentence-transformers' CrossEncoderTrainer on padded batches, in groups per second.

    python -m benchmarks.training

One random network, one data set of queries with 1 + 7 passages of about 100 tokens, all weights trained in float32 with
AdamW and binary cross-entropy, in turns of a few optimiser steps each. A turn's first step is not timed.
Takes about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from qwen3_reranker import Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.train.example_file import TrainExample
from qwen3_reranker.train.finetuning import finetune
from qwen3_reranker.train.run import TrainRun
from qwen3_reranker.train.train_options import TrainOptions
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_nano_checkpoint

WORDS = Path(__file__).parents[1] / "README.md"
NEGATIVES = 7
BATCHES = (8, 32)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--groups", type=int, default=4, help="queries an optimiser step")
    parser.add_argument("--steps", type=int, default=4, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as name:
        _measure(Path(name), options)


def _measure(folder: Path, options: argparse.Namespace) -> None:
    model = write_nano_checkpoint(
        folder / "model",
        hidden_size=options.hidden,
        intermediate_size=2 * options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        initializer_range=0.05,
    )
    convert(open_checkpoint(model), folder / "theirs", "sentence-transformers")
    examples = _examples(options.groups * options.steps)
    with Reranker(model) as reranker:
        lengths = [reranker.tree("", each.documents).num_row_tokens for each in examples]
        template = reranker.tree("", ["."]).num_row_tokens - 1
        pairs = [(each.query, text) for each in examples[:2] for text in each.documents]
        ours_N = reranker.logits(pairs)
    tokens = (sum(lengths) / (NEGATIVES + 1) / len(examples)) - template
    theirs_N = _their_logits(folder / "theirs", pairs)
    runs: dict[str, Callable[[int], list[float]]] = {
        "qwen3_reranker, tree": lambda turn: _ours(folder, model, examples, options, turn),
        **{
            f"sentence-transformers, padded batches of {batch}": lambda turn, batch=batch: _theirs(
                folder, examples, options, batch, turn
            )
            for batch in BATCHES
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(options.rounds):
        for name, run in runs.items():
            seconds[name] += run(turn)
    speeds = {name: options.groups / median(some) for name, some in seconds.items()}
    own = speeds["qwen3_reranker, tree"]
    print(
        f"{options.layers} layers, hidden {options.hidden}, float32, {options.threads} threads; steps of "
        f"{options.groups} queries x (1 + {NEGATIVES}) passages of {tokens:.0f} tokens; torch {torch.__version__}\n"
    )
    print("| trainer | groups/s, median step | ours is faster by |\n|---|---|---|")
    for name, speed in speeds.items():
        print(f"| {name} | {speed:.2f} | {own / speed:.2f}x |")
    print(f"\ntokens of our steps: {_savings(folder)}")
    print(f"largest difference of logits before training: {np.abs(ours_N - theirs_N).max():.1e}")


def _examples(count: int) -> list[TrainExample]:
    """Queries and passages of this repository's own words; passages differ in length as real ones do."""
    words, rng = WORDS.read_text(encoding="utf-8").split(), random.Random(7)
    words = [word for word in words if word.isalpha()]

    def text(length: float) -> str:
        return " ".join(rng.choice(words) for _ in range(max(3, round(length))))

    return [
        TrainExample(text(8), (text(rng.gauss(73, 14)),), tuple(text(rng.gauss(73, 14)) for _ in range(NEGATIVES)))
        for _ in range(count)
    ]


def _ours(
    folder: Path, model: Path, examples: list[TrainExample], options: argparse.Namespace, turn: int
) -> list[float]:
    ends: list[float] = []
    chosen = TrainOptions(method="full", rate=1e-4, batch_groups=options.groups, negatives=NEGATIVES, seed=turn)
    outcome = finetune(
        TrainRun(folder / f"ours-{turn}", model, examples, chosen, device="cpu"),
        on_progress=lambda _: ends.append(time.monotonic()),
    )
    (folder / "savings").write_text(outcome.state.savings, encoding="utf-8")
    return np.diff(ends).tolist()


def _savings(folder: Path) -> str:
    return (folder / "savings").read_text(encoding="utf-8")


def _theirs(
    folder: Path, examples: list[TrainExample], options: argparse.Namespace, batch: int, turn: int
) -> list[float]:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from transformers import PrinterCallback, TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        """Notes when each optimiser step ends."""

        def on_step_end(self, *arguments: object, **named: object) -> None:
            ends.append(time.monotonic())

    encoder = CrossEncoder(str(folder / "theirs"), device="cpu", model_kwargs={"dtype": torch.float32})
    rows = [(each.query, text, float(place == 0)) for each in examples for place, text in enumerate(each.documents)]
    queries, documents, labels = (list(column) for column in zip(*rows, strict=True))
    trainer = CrossEncoderTrainer(
        model=encoder,
        args=CrossEncoderTrainingArguments(
            output_dir=str(folder / f"theirs-{batch}-{turn}"),
            max_steps=options.steps,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=max(1, options.groups * (NEGATIVES + 1) // batch),
            learning_rate=1e-4,
            seed=turn,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"query": queries, "document": documents, "label": labels}),
        loss=BinaryCrossEntropyLoss(encoder),
        callbacks=[Clock()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return np.diff(ends).tolist()


def _their_logits(model: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    from sentence_transformers import CrossEncoder

    encoder = CrossEncoder(str(model), device="cpu", model_kwargs={"dtype": torch.float32})
    return np.asarray(encoder.predict(pairs, show_progress_bar=False))


if __name__ == "__main__":
    main()
