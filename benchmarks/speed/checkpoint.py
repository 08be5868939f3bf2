"""A random checkpoint in Qwen3-Reranker-0.6B's shape, written once and kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from benchmarks.core import SHAPE_0_6B
from testing.checkpoints import write_checkpoint
from testing.tokenizer import unpack_tokenizer


def checkpoint(work: Path, layers: int, spread: float) -> Path:
    """The folder of the checkpoint below `work`, bfloat16; a half-written one never gets its name."""
    folder = work / "checkpoints" / f"qwen3-0.6b-{layers}-layers-spread-{spread:g}"
    if folder.exists():
        return folder
    unfinished = work / "checkpoints" / f"unfinished-{os.getpid()}"
    try:
        tokenizer_file = unpack_tokenizer(_made(unfinished / "tokenizer"))
        write_checkpoint(
            unfinished / "model",
            **SHAPE_0_6B,
            num_hidden_layers=layers,
            initializer_range=spread,
            dtype="BF16",
            tokenizer_file=tokenizer_file,
        )
        (unfinished / "model").rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def linear_operations(folder: Path) -> int:
    """Multiplications and additions of the layers' matrix products, a token; neither attention nor the head."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    hidden, feed_forward, head_dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads = 2 * config["num_attention_heads"] + 2 * config["num_key_value_heads"]
    weights: int = config["num_hidden_layers"] * hidden * (heads * head_dim + 3 * feed_forward)
    return 2 * weights


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
