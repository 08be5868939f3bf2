"""The vllm backend beside the cpu backend: how far logits move, ranking, time, and what the order of rows saves.

    make vllm && OMP_NUM_THREADS=2 .vllm/bin/python -m benchmarks.vllm_engine [--rounds N] [--layers N]

A random network of nano's shape, in an environment with vLLM. Both score the same texts in turns, and keep nothing
between calls. On a processor with a small network this says nothing of a GPU.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vllm

from qwen3_reranker import Reranker
from qwen3_reranker.backends.vllm import VllmBackend
from testing.checkpoints import write_nano_checkpoint

WORDS = (Path(__file__).parents[1] / "DESIGN.md").read_text(encoding="utf-8").split()
QUERY = "which part of the package computes the prefix tree"
SHAPE: dict[str, Any] = {"head_dim": 64, "hidden_size": 256, "intermediate_size": 512, "num_key_value_heads": 2}


def documents(count: int, length: int) -> list[str]:
    """Texts of `length` words and more."""
    return [" ".join(WORDS[place * length : (place + 1) * length + place % 40]) for place in range(count)]


def swapped(first: np.ndarray, second: np.ndarray) -> int:
    """Pairs of documents in another order."""
    order = [np.sign(logits[:, None] - logits[None, :]) for logits in (first, second)]
    return int((order[0] * order[1] < 0).sum()) // 2


def compared(model: Path, precision: str, rounds: int) -> None:
    """A line of the table: vLLM in this precision beside the cpu backend in it, both against float32."""
    texts = documents(40, 80)
    with (
        Reranker(model, disk_cache=False) as exact,
        Reranker(model, precision=precision, prefix_cache_tokens=0, disk_cache=False) as local,
        Reranker(model, backend="vllm", precision=precision, prefix_cache_tokens=0) as other,
    ):
        expected = exact.score(QUERY, texts).logits
        results = [each.score(QUERY, texts) for each in (local, other)]
        seconds: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(rounds):
            for place, each in enumerate((local, other)):
                start = time.perf_counter()
                each.score(QUERY, texts)
                seconds[place].append(time.perf_counter() - start)
    for name, result, place in (("cpu", results[0], 0), ("vllm", results[1], 1)):
        delta = float(np.abs(result.logits - expected).max())
        rate = len(texts) / statistics.median(seconds[place])
        print(
            f"| {name}, {precision} | {delta:.2e} | {swapped(result.logits, expected)} of 780 | {rate:,.0f} | "
            f"{result.usage.computed_tokens:,} of {result.usage.prompt_tokens:,} |",
            flush=True,
        )
    print(f"| (float32: spread of the logits) | {np.ptp(expected):.2f} | | | |", flush=True)


def found_in_blocks(backend: VllmBackend, rows: Sequence[Sequence[int]]) -> int:
    """Tokens that vLLM does not compute when it gets the rows in this order."""
    backend.engine.reset_prefix_cache()
    outputs = backend.engine.classify(
        [{"prompt_token_ids": row} for row in rows],
        pooling_params=vllm.PoolingParams(use_activation=False),
        use_tqdm=False,
    )
    return sum(output.num_cached_tokens for output in outputs)


def ordered(model: Path) -> None:
    """What the order of rows saves where the blocks of all queries do not fit."""
    texts = documents(10, 60)
    queries = [f"question {place}: {' '.join(WORDS[place * 30 : place * 30 + 60])}" for place in range(64)]
    with Reranker(model, backend="vllm", prefix_cache_tokens=0, max_length=1024) as reranker:
        backend = reranker.runner.backend
        assert isinstance(backend, VllmBackend)
        pairs = [(query, text) for query in queries for text in texts]
        random.Random(0).shuffle(pairs)
        rows = reranker.rows(*map(list, zip(*pairs, strict=True)))
        shuffled = [row.ids.tolist() for row in rows]
        tokens = sum(map(len, shuffled))
        for name, chosen in (("shuffled", shuffled), ("in the order of the tree", sorted(shuffled))):
            print(f"| {name} | {found_in_blocks(backend, chosen) / tokens:.0%} of {tokens:,} |", flush=True)
        usage = reranker.runner.execute(reranker.runner.plan(rows))
        print(f"| by the Reranker, from shuffled pairs | {1 - usage.computed_tokens / tokens:.0%} of {tokens:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--layers", type=int, default=6)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = write_nano_checkpoint(
            Path(folder), initializer_range=0.06, seed=7, num_hidden_layers=chosen.layers, **SHAPE
        )
        print(f"vLLM {vllm.__version__}\n")
        print("| backend | largest move from float32 | pairs swapped | documents/s | computed |\n|---|---|---|---|---|")
        for precision in ("float32", "bfloat16"):
            compared(model, precision, chosen.rounds)
        print("\n| 64 queries with 10 documents each | tokens found in blocks |\n|---|---|")
        ordered(model)


if __name__ == "__main__":
    main()
