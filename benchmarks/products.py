"""One layer's matrix products and torch's, in one interleaved run, float32 and 8-bit, as a Markdown table.

    python -m benchmarks.products

torch's 8-bit product takes rounded numbers and gives whole ones. Ours takes float32, rounds it, scales every group and
gives float32; "product alone" leaves the rounding out, as torch does, and keeps the scales (the threads' time: true on
a quiet machine). torch's threads spin for a while after each of its products; they are told not to, or they would run
in our turn.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import qwen3_reranker_kernels as kernels
import torch

SHAPES = ((1024, 6144), (1024, 4096), (2048, 1024), (3072, 1024))
GROUPS = (64, 128)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernels", default=kernels.variants()[0], choices=kernels.variants())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformer = kernels.TransformerCpu(options.kernels, 1024, 16, 8, 128, 1e-6, options.threads)
    print(f"{options.tokens} tokens, {options.threads} threads, {options.kernels}, torch {torch.__version__}; G/s.\n")
    heads = ["inputs x outputs", "torch float32", "ours float32", "ratio", "torch `_int_mm`"]
    for group in GROUPS:
        heads += [f"ours, groups of {group}", "product alone", "ratio"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with torch.no_grad():
        for inputs, outputs in SHAPES:
            print(row(transformer, options.tokens, inputs, outputs, options.rounds, options.threads), flush=True)


def row(transformer: Any, tokens: int, inputs: int, outputs: int, rounds: int, threads: int) -> str:
    """One shape: medians over rounds in which each participant multiplies once."""
    random = np.random.default_rng(0)
    x_TD = random.standard_normal((tokens, inputs)).astype(np.float32)
    weight_OD = (random.standard_normal((outputs, inputs)) * 0.02).astype(np.float32)
    out_TO = np.empty((tokens, outputs), np.float32)
    stored = kernels.stored_matrix(
        (weight_OD.view(np.uint32) >> 16).astype("<u2").view(np.uint8).reshape(-1), 0, outputs, inputs
    )
    linear = torch.nn.Linear(inputs, outputs, bias=False)
    linear.weight.data = torch.from_numpy(weight_OD)
    x, whole_x = torch.from_numpy(x_TD), torch.randint(-127, 127, (tokens, inputs), dtype=torch.int8)
    whole_weight = torch.randint(-127, 127, (outputs, inputs), dtype=torch.int8).t()
    runs: dict[str, Callable[[], object]] = {
        "torch float32": lambda: linear(x),
        "ours float32": lambda: transformer.multiply(stored, x_TD, out_TO),
        "torch int8": lambda: torch._int_mm(whole_x, whole_weight),
    }
    for group in GROUPS:
        matrix = quantized(transformer, stored, inputs, outputs, group)
        runs[f"ours {group}"] = lambda matrix=matrix: transformer.multiply(matrix, x_TD, out_TO)
    seconds: dict[str, list[float]] = {name: [] for name in [*runs, *(f"alone {group}" for group in GROUPS)]}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            before, start = transformer.spent()[0], time.perf_counter()
            run()
            taken, product = time.perf_counter() - start, (transformer.spent()[0] - before) / threads
            if turn:
                seconds[name].append(taken)
                if name.startswith("ours ") and name != "ours float32":
                    seconds[name.replace("ours", "alone")].append(product)
    rate = {name: 2e-9 * tokens * inputs * outputs / median(taken) for name, taken in seconds.items()}
    cells = [f"{inputs} x {outputs}", f"{rate['torch float32']:.0f}", f"{rate['ours float32']:.0f}"]
    cells += [f"{rate['ours float32'] / rate['torch float32']:.2f}", f"{rate['torch int8']:.0f}"]
    for group in GROUPS:
        alone = rate[f"alone {group}"]
        cells += [f"{rate[f'ours {group}']:.0f}", f"{alone:.0f}", f"{alone / rate['torch int8']:.2f}"]
    return f"| {' | '.join(cells)} |"


def quantized(transformer: Any, stored: Any, inputs: int, outputs: int, group: int) -> Any:
    """The matrix in 8 bits."""
    scales = np.empty(outputs * inputs // group, np.float32)
    data = np.empty(outputs * inputs, np.uint8)
    transformer.quantize_int8(stored, group, data, scales)
    return kernels.int8_matrix(data, scales, outputs, inputs, group, 1)


if __name__ == "__main__":
    main()
