"""What outliers cost in 8 bits: nano, and random checkpoints with outliers put in, as one Markdown table.

    python -m benchmarks.outliers

Each checkpoint scores the drift report's texts in float32 and in 8 bits, once as it runs and once with the constant
prefix, which holds the first token, in 8 bits as well. testing/outliers.py says what each outlier is.
Takes some three minutes; --checkpoints 1 half of that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.backend import CpuBackend
from qwen3_reranker.drift import compare, text_set
from qwen3_reranker.drift.drift_report import logits_of
from qwen3_reranker.registry import SPECS
from testing.outliers import (
    add_attention_sink,
    add_massive_activations,
    add_residual_sinks,
    write_even_checkpoint,
)

# One layer of Qwen3-Reranker-0.6B.
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
# For precision and the constant prefix's, a figure for each of the columns from "mean delta" on.
Figures = dict[tuple[str, str], list[float]]
OUTLIERS: dict[str, Callable[[Path, int], None]] = {
    "random, no outliers": lambda folder, first_token: None,
    "massive activations": add_massive_activations,
    "residual sinks": lambda folder, first_token: add_residual_sinks(folder),
    "attention sink": add_attention_sink,
}
HEADS = (
    "checkpoint",
    "precision",
    "constant prefix",
    "mean delta",
    "mean delta / spread",
    "max delta / spread",
    "delta about its mean / spread",
    "Kendall tau",
    "top 10 kept",
)
FORMS = (".4f", ".1%", ".1%", ".1%", ".3f", ".1%")


def main() -> None:
    """Print the table, an outlier at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4, help="layers of a random checkpoint")
    parser.add_argument("--checkpoints", type=int, default=2, help="random checkpoints of each kind; figures are means")
    options = parser.parse_args()
    print(
        f"{len(text_set())} queries, {options.checkpoints} random checkpoints of each kind, {options.layers} layers of "
        f"Qwen3-Reranker-0.6B's widths, nano's tokenizer.\n"
    )
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    print_rows("nano", [measure("nano")])
    with Reranker("nano", plan_only=True) as nano:
        first_token = int(nano.tokens.prefix_ids[0])
    for name, put_in in OUTLIERS.items():
        measured = []
        for seed in range(options.checkpoints):
            with TemporaryDirectory() as folder:
                write_even_checkpoint(Path(folder), num_hidden_layers=options.layers, seed=seed, **SHAPE)
                put_in(Path(folder), first_token)
                measured.append(measure(folder))
        print_rows(name, measured)


def print_rows(name: str, measured: Sequence[Figures]) -> None:
    """The rows of one kind of checkpoint, means of all that were measured."""
    for precision, prefix in measured[0]:
        means = np.mean([figures[precision, prefix] for figures in measured], axis=0)
        cells = (f"{mean:{form}}" for mean, form in zip(means, FORMS, strict=True))
        print(f"| {' | '.join([name, precision, prefix, *cells])} |", flush=True)


def measure(model: str) -> Figures:
    """What the columns say of one checkpoint; spread: the deviation of float32's logits among a query's documents."""
    expected = logits(model, "float32", exact_prefix=True)
    spread = np.mean([logits_D.std() for logits_D in expected])
    figures: Figures = {}
    for precision in SPECS["cpu"].reduced_precisions:
        for prefix in ("float32", precision):
            found = logits(model, precision, exact_prefix=prefix == "float32")
            drift = compare(precision, expected, found)
            # What is left when all logits of a query move alike, which changes no order.
            uneven = np.mean([(after_D - before_D).std() for before_D, after_D in zip(expected, found, strict=True)])
            moves = [drift.mean_delta / spread, drift.max_delta / spread, uneven / spread]
            figures[precision, prefix] = [drift.mean_delta, *moves, drift.kendall_tau, drift.top_overlap]
    return figures


def logits(model: str, precision: str, exact_prefix: bool) -> list[NDArray[np.float32]]:
    """The logits of each question's documents; no option of a Reranker leaves the prefix inexact, so we run it here."""
    with Reranker(model, plan_only=True) as reranker:
        options = reranker.options
        reranker.runner.backend = CpuBackend(
            reranker.checkpoint,
            max_batch_tokens=options.max_batch_tokens,
            prefix_cache_tokens=options.prefix_cache_tokens,
            precision=precision,
            constant_prefix=np.array(reranker.tokens.prefix_ids, dtype=np.int32) if exact_prefix else None,
            disk_cache=False,
        )
        return logits_of(reranker, text_set())


if __name__ == "__main__":
    main()
