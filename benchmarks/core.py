"""The core against separate rows: tokens, memory, and speed against the model card's code, as a table.

    python -m benchmarks.core                 # Qwen3-Reranker-0.6B's widths, 4 of its 28 layers: a few minutes
    python -m benchmarks.core --layers 28     # the whole shape: most of an hour on two cores
    python -m benchmarks.core --only large    # 4B and 8B, whole, for their memory: 25 GB of disk for a while

Weights are random in the real shape: they say nothing about quality and everything about time, memory and exactness.
Times are the medians of rounds in which both sides take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from qwen3_reranker import Reranker, plan
from qwen3_reranker.convert import convert
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.tokenizer import unpack_tokenizer

SHAPE_0_6B = {
    "vocab_size": 151_669,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
LAYERS_0_6B = 28
# The larger models, whole. 8B has a head of its own.
LARGE_SHAPES = {
    "4B": {
        **SHAPE_0_6B,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
    },
    "8B": {
        **SHAPE_0_6B,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "tied": False,
    },
}
PARTS = ("planning", "savings", "steadiness", "speed", "growth", "start", "memory", "conversion", "large")
WORDS = ("free", "equal", "dignity", "rights", "reason", "spirit", "born", "human", "beings", "act", "another")
QUERY = "Are all people born free and equal?"
GIB = 2**30


def documents(tokens: int, count: int) -> list[str]:
    """English texts of about that many one-token words, shuffled so that no two start alike."""
    random = np.random.default_rng(tokens)
    return [" ".join(random.choice(WORDS, tokens - 1)) for _ in range(count)]


def row(what: str, ours: str, beside: str, ratio: str) -> None:
    """Print one line of the table as soon as it is known."""
    print(f"| {what} | {ours} | {beside} | {ratio} |", flush=True)


def planning() -> None:
    """Time to plan 1,000 rows of 500 document tokens with one head."""
    random = np.random.default_rng(0)
    head = random.integers(0, 150_000, 73)
    rows = [
        Row(np.concatenate((head, random.integers(0, 150_000, 509))).astype(np.int32), (39, 73), Receipt(0, 0, 0, 0))
        for _ in range(1000)
    ]
    seconds = median(lambda: plan.build(rows, 4), rounds=5)
    row("planning 1,000 documents of 500 tokens", f"{seconds * 1000:.0f} ms", "", "")


def savings(reranker: Reranker) -> None:
    """Tokens of the tree and tokens of separate rows."""
    for count, tokens in ((100, 40), (32, 144), (32, 512)):
        tree = reranker.tree(QUERY, documents(tokens, count))
        share = tree.num_tokens / tree.num_row_tokens
        what = f"tokens computed, 1 query x {count} documents of {tokens} tokens"
        row(what, f"{tree.num_tokens:,}", f"{tree.num_row_tokens:,} in separate rows", f"{share:.0%}")


def speed(folder: Path, reranker: Reranker, rounds: int) -> None:
    """Documents per second, in turns with the card's code in transformers, float32."""
    import torch

    from testing.model_card import ModelCard

    card = ModelCard(folder)
    for count, tokens in ((100, 40), (32, 144)):
        texts = documents(tokens, count)
        pairs = [(QUERY, text) for text in texts]
        ours, theirs = medians((partial(reranker.rank, QUERY, texts), partial(card.logits, pairs)), rounds)
        difference = np.abs(reranker.logits(pairs) - card.logits(pairs)).max()
        row(
            f"1 query x {count} documents of {tokens} tokens, float32; largest difference of a logit {difference:.0e}",
            f"{count / ours:.2f} documents/s",
            f"{count / theirs:.2f} model card's code, transformers, torch {torch.__version__}",
            f"{theirs / ours:.2f}x",
        )


def growth(folder: Path, rounds: int, precisions: Sequence[str]) -> None:
    """Tokens computed a second for 16 to 512 documents of 144 tokens, taking turns."""
    counts = (16, 64, 512)
    for precision in precisions:
        with Reranker(str(folder), precision=precision, prefix_cache_tokens=0) as reranker:
            runs = [partial(reranker.rank, QUERY, documents(144, count)) for count in counts]
            seconds = medians(tuple(runs), rounds)
            tokens = [reranker.tree(QUERY, documents(144, count)).num_tokens for count in counts]
        rates = [some / taken for some, taken in zip(tokens, seconds, strict=True)]
        for count, rate in zip(counts, rates, strict=True):
            what = f"tokens computed a second, {precision}, 1 query x {count} documents of 144 tokens"
            row(what, f"{rate:,.0f}", f"{rates[0]:,.0f} with {counts[0]} documents", f"{rate / rates[0]:.2f}")


def steadiness(folder: Path, reranker: Reranker) -> None:
    """How far a logit moves with neighbours, batch and order: only float32 rounding."""
    pairs = [(QUERY, text) for text in (*documents(40, 6), *documents(144, 6))]
    together = reranker.logits(pairs)
    alone = np.concatenate([reranker.logits([pair]) for pair in pairs])
    backwards = reranker.logits(pairs[::-1])[::-1]
    with Reranker(str(folder), prefix_cache_tokens=0, max_batch_tokens=64) as small_batches:
        split = small_batches.logits(pairs)
    moved = max(float(np.abs(other - together).max()) for other in (alone, backwards, split))
    size = float(np.abs(together).max())
    row(
        "largest move of a logit: alone, in another order, in batches of 64",
        f"{moved:.0e}",
        f"logits to {size:.1f}",
        "",
    )


def start(folder: Path, precisions: Sequence[str]) -> None:
    """Seconds from the start of a process until the model can be asked; the second finds what the first cached."""
    program = "import sys; from qwen3_reranker import Reranker; Reranker(sys.argv[1], precision=sys.argv[2])"
    for precision in precisions:
        seconds = []
        for _ in range(2):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", program, folder, precision], check=True)
            seconds.append(time.perf_counter() - begin)
        row(f"second start of a process, {precision}", f"{seconds[1]:.1f} s", f"{seconds[0]:.1f} s the first time", "")


def peak_memory(folder: Path, count: int, precision: str = "float32") -> tuple[int, int]:
    """Bytes of the weights on disk, and peak memory of ranking documents of 500 tokens."""
    command = [sys.executable, "-m", "benchmarks.core", "--rank-in", str(folder), "--count", str(count)]
    command += ["--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    weights, peak = (int(number) for number in done.stdout.split())
    return weights, peak


def memory(folder: Path, precisions: Sequence[str]) -> None:
    """Peak memory for few and many documents of 500 tokens; 20 fill a batch."""
    for precision in precisions:
        peaks = []
        for count in (20, 100):
            weights, peak = peak_memory(folder, count, precision)
            peaks.append(peak)
            row(
                f"peak memory, {precision}, 1 query x {count} documents of 500 tokens",
                f"{peak / GIB:.2f} GiB",
                f"{weights / GIB:.2f} GiB weights on disk (bfloat16)",
                f"{peak / peaks[0]:.2f} of {peaks[0] / GIB:.2f} GiB",
            )


def conversion(folder: Path, name: str) -> None:
    """Seconds and peak memory of one process that converts the checkpoint to GGUF in q8_0."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [sys.executable, "-m", "benchmarks.core", "--convert-in", str(folder), "--to", f"{scratch}/q8_0.gguf"]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        seconds = time.perf_counter() - begin
    weights, peak = (int(number) for number in done.stdout.split())
    row(
        f"conversion of {name} to GGUF in q8_0",
        f"{seconds:.0f} s, {peak / GIB:.2f} GiB",
        f"{weights / GIB:.2f} GiB weights on disk (bfloat16)",
        "",
    )


def large(scratch: Path, tokenizer_file: Path) -> None:
    """Peak memory of the larger models for two documents of 500 tokens, and for a conversion."""
    for name, shape in LARGE_SHAPES.items():
        folder = write_checkpoint(scratch / name, tokenizer_file=tokenizer_file, dtype="BF16", **shape)
        begin = time.perf_counter()
        weights, peak = peak_memory(folder, 2)
        seconds = time.perf_counter() - begin
        row(
            f"peak memory of {name}, float32, 1 query x 2 documents of 500 tokens, ranked in {seconds:.0f} s",
            f"{peak / GIB:.2f} GiB",
            f"{weights / GIB:.2f} GiB weights on disk (bfloat16)",
            f"weights + {(peak - weights) / GIB:.2f} GiB",
        )
        conversion(folder, name)
        shutil.rmtree(folder)


def rank_and_print_peak(folder: Path, count: int, precision: str) -> None:
    """Rank in a new process, then print the weights' bytes and the peak resident memory."""
    with Reranker(str(folder), precision=precision) as reranker:
        reranker.rank(QUERY, documents(500, count))
        weights = reranker.checkpoint.num_bytes
    print_with_peak(weights)


def convert_and_print_peak(folder: Path, destination: Path) -> None:
    """In a process of its own: convert to GGUF in q8_0, then print the same."""
    checkpoint = open_checkpoint(folder)
    convert(checkpoint, destination, "gguf", "q8_0")
    print_with_peak(checkpoint.num_bytes)


def print_with_peak(weights: int) -> None:
    """Print the bytes of the weights on disk and this process's peak resident memory."""
    status = Path("/proc/self/status").read_text()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    print(weights, peak_kib * 1024)


def median(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    return medians((run,), rounds)[0]


def medians(runs: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """Median seconds of each call; every round runs all of them in turn, and the first round is not counted."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            if turn:
                taken.append(time.perf_counter() - start)
    return [float(np.median(taken)) for taken in seconds]


def main() -> None:
    """Build the checkpoint, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4, help="layers of the random network (0.6B has 28)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds")
    parser.add_argument("--spread", type=float, default=0.02, help="standard deviation of the random weights")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS[:-1], help="parts of the table")
    parser.add_argument("--rank-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--precision", nargs="+", default=["float32", "int8"], help="those of the parts growth, start and memory"
    )
    parser.add_argument("--convert-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=100, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank_in:
        rank_and_print_peak(options.rank_in, options.count, options.precision[0])
        return
    if options.convert_in:
        convert_and_print_peak(options.convert_in, options.to)
        return
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer_file = unpack_tokenizer(Path(scratch))
        shape = {**SHAPE_0_6B, "num_hidden_layers": options.layers, "dtype": "BF16"}
        shape["initializer_range"] = options.spread
        folder = write_checkpoint(Path(scratch) / "model", tokenizer_file=tokenizer_file, **shape)
        print(f"Random weights in Qwen3-Reranker-0.6B's widths, {options.layers} of {LAYERS_0_6B} layers.\n")
        print("| what | qwen3_reranker | beside | ratio |\n|---|---|---|---|")
        if "planning" in options.only:
            planning()
        # The query is known after the first round, and the card's code knows nothing: no cache keeps the race fair.
        with Reranker(str(folder), prefix_cache_tokens=0) as reranker:
            if "savings" in options.only:
                savings(reranker)
            if "steadiness" in options.only:
                steadiness(folder, reranker)
            if "speed" in options.only:
                speed(folder, reranker, options.rounds)
        if "growth" in options.only:
            growth(folder, options.rounds, options.precision)
        if "start" in options.only:
            start(folder, options.precision)
        if "memory" in options.only:
            memory(folder, options.precision)
        if "conversion" in options.only:
            conversion(folder, f"{options.layers} layers of 0.6B")
        if "large" in options.only:
            large(Path(scratch), tokenizer_file)


if __name__ == "__main__":
    main()
