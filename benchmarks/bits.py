"""Whether two commits give equal logits, bit for bit: nano and six random checkpoints, every precision.

    python -m benchmarks.bits store .bits      # on the first commit: writes the checkpoints and their logits
    python -m benchmarks.bits compare .bits    # on the second commit, same machine: compares bit for bit

`compare` prints a row for each checkpoint, backend and precision, and ends with exit code 1 if a bit differs.
Takes some three minutes each. float8 needs a GPU and is left out without one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker

# backend, precision, kernels: one batch size small enough to cut the plan into several batches.
WAYS = (
    ("cpu", "float32", "native"),
    ("cpu", "bfloat16", "native"),
    ("cpu", "int8", "native"),
    ("cpu", "int8x2", "native"),
    ("cpu", "float32", "avx2"),
    ("cpu", "bfloat16", "avx2"),
    ("cpu", "int8", "avx2"),
    ("cpu", "float32", "portable"),
    ("cpu", "bfloat16", "portable"),
    ("cpu", "int8", "portable"),
    ("torch", "float32", "native"),
    ("torch", "bfloat16", "native"),
    ("torch", "float16", "native"),
    ("reference", "float32", "native"),
    ("reference", "float64", "native"),
)
BATCH_TOKENS = 256
# The random checkpoints: their shapes, how they are stored, tied or with a head of their own.
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "tiny-f32": {"dtype": "F32", "initializer_range": 0.2},
    "deep-bf16": {"dtype": "BF16", "num_hidden_layers": 7, "hidden_size": 64, "intermediate_size": 96},
    "untied-f16": {
        "dtype": "F16",
        "tied": False,
        "hidden_size": 96,
        "intermediate_size": 160,
        "initializer_range": 0.1,
    },
    "odd-widths": {
        "dtype": "F32",
        "hidden_size": 56,
        "intermediate_size": 88,
        "num_attention_heads": 6,
        "head_dim": 24,
    },
    "wide-bf16": {
        "dtype": "BF16",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "no-groups-sharded": {
        "dtype": "BF16",
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "shards": 3,
    },
}
WORDS = (
    "free",
    "equal",
    "dignity",
    "rights",
    "reason",
    "spirit",
    "born",
    "human",
    "beings",
    "git",
    "重置",
    "rückgängig",
)


def pairs() -> list[tuple[str, str]]:
    """Three queries with documents of 0 to 300 words; two begin alike and two are equal."""
    random = np.random.default_rng(14)
    texts = [" ".join(random.choice(WORDS, count)) for count in (0, 1, 7, 40, 90, 300)]
    texts += [f"{texts[4]} and more", texts[2]]
    queries = ("Are all people born free?", "take back my last commit", "Sind alle Menschen gleich?")
    return [(query, text) for query in queries for text in texts]


def write_checkpoints(folder: Path) -> None:
    """Write the random checkpoints, each with nano's tokenizer."""
    from testing.checkpoints import write_nano_checkpoint

    for seed, (name, shape) in enumerate(CHECKPOINTS.items()):
        write_nano_checkpoint(folder / name, seed=seed, **{**shape})


def logits(folder: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """(name of the row, logits) of every checkpoint in every way that this machine can run."""
    for name in ("nano", *CHECKPOINTS):
        model = name if name == "nano" else folder / name
        for backend, precision, kernels in WAYS:
            row = f"{name} {backend} {precision} {kernels}"
            options: dict[str, Any] = {"backend": backend, "precision": precision}
            if backend == "cpu":
                options |= {"kernels": kernels, "num_threads": 2, "disk_cache": False}
            if backend != "reference":
                options["max_batch_tokens"] = BATCH_TOKENS
            with Reranker(model, **options) as reranker:
                first = reranker.logits(pairs())
                # A second call finds the prefix of the first in the cache.
                second = reranker.rank(pairs()[0][0], [text for query, text in pairs() if query == pairs()[0][0]])
                by_input = np.array([hit.logit for hit in sorted(second, key=lambda hit: hit.index)], np.float32)
            yield row, np.concatenate((first, by_input))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("store", "compare"))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path = chosen.folder / "logits.json"
    if chosen.what == "store":
        write_checkpoints(chosen.folder)
        stored = {}
        for row, values in logits(chosen.folder):
            stored[row] = values.tobytes().hex()
            print(f"{row}: {len(values)} logits from {values.min():.3f} to {values.max():.3f}", flush=True)
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    differing = 0
    print("| checkpoint, backend, precision, kernels | logits | same bits | largest difference |\n|---|---|---|---|")
    for row, values in logits(chosen.folder):
        old = np.frombuffer(bytes.fromhex(before.pop(row)), np.float32)
        same = old.tobytes() == values.tobytes()
        differing += not same
        print(f"| {row} | {len(values)} | {'yes' if same else 'NO'} | {np.abs(old - values).max():.1e} |", flush=True)
    if differing or before:
        sys.exit(f"{differing} rows differ, {len(before)} are missing")


if __name__ == "__main__":
    main()
