"""One layer's matrix products and torch's, in one interleaved run and in every precision, as a Markdown table.

    python -m benchmarks.products

torch's bfloat16 and 8-bit products take rounded numbers, and the latter gives whole ones. Ours take float32, round it,
scale every group of 8 bits and give float32; "product alone" leaves the rounding out, as torch does, and keeps the
scales (the threads' time: true on a quiet machine). torch's threads spin for a while after each of its products; they
are told not to, or they would run in our turn.
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
GROUPS = {"int8, groups of 64": 64, "int8, groups of 128": 128}
PRECISIONS = ("float32", "bfloat16", *GROUPS)


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
    heads = ["inputs x outputs"]
    for name in PRECISIONS:
        heads += [f"torch {name}", f"ours {name}", "product alone", "alone / torch"]
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
    bytes_N = (weight_OD.view(np.uint32) >> 16).astype("<u2").view(np.uint8).reshape(-1)
    stored = {planes: kernels.stored_matrix(bytes_N, 0, outputs, inputs, planes) for planes in (0, 1)}
    linear = torch.nn.Linear(inputs, outputs, bias=False)
    linear.weight.data = torch.from_numpy(weight_OD)
    half = torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
    x, whole_x = torch.from_numpy(x_TD), torch.randint(-127, 127, (tokens, inputs), dtype=torch.int8)
    half_x = x.to(torch.bfloat16)
    whole_weight = torch.randint(-127, 127, (outputs, inputs), dtype=torch.int8).t()
    torch_runs: dict[str, Callable[[], object]] = {"float32": lambda: linear(x), "bfloat16": lambda: half(half_x)}
    matrices = {"float32": stored[0], "bfloat16": stored[1]}
    for name, group in GROUPS.items():
        torch_runs[name] = lambda: torch._int_mm(whole_x, whole_weight)
        matrices[name] = quantized(transformer, stored[0], inputs, outputs, group)
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):
        for name in PRECISIONS:
            start = time.perf_counter()
            torch_runs[name]()
            between, before = time.perf_counter(), transformer.spent()[0]
            transformer.multiply(matrices[name], x_TD, out_TO)
            end, alone = time.perf_counter(), (transformer.spent()[0] - before) / threads
            if turn:
                for kind, taken in (("torch", between - start), ("ours", end - between), ("alone", alone)):
                    seconds.setdefault((kind, name), []).append(taken)
    rate = {key: 2e-9 * tokens * inputs * outputs / median(taken) for key, taken in seconds.items()}
    cells = [f"{inputs} x {outputs}"]
    for name in PRECISIONS:
        cells += [f"{rate[kind, name]:.0f}" for kind in ("torch", "ours", "alone")]
        cells.append(f"{rate['alone', name] / rate['torch', name]:.2f}")
    return f"| {' | '.join(cells)} |"


def quantized(transformer: Any, stored: Any, inputs: int, outputs: int, group: int) -> Any:
    """The matrix in 8 bits."""
    scales = np.empty(outputs * inputs // group, np.float32)
    data = np.empty(outputs * inputs, np.uint8)
    transformer.quantize_int8(stored, group, data, scales)
    return kernels.int8_matrix(data, scales, outputs, inputs, group, 1)


if __name__ == "__main__":
    main()
