"""A model and its options -> what the scores of a job depend on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qwen3_reranker.evaluate.judging import model_fingerprint
from qwen3_reranker.reranker import Reranker

# Options that change no score. Two runs of a job may differ in them.
_FREE = ("num_threads", "max_batch_tokens", "prefix_cache_tokens", "min_shared_tokens", "disk_cache")


def score_settings(reranker: Reranker, instruction: str | None) -> dict[str, Any]:
    """The fingerprint of the model, the instruction, and each option that may change a score."""
    options = {name: value for name, value in asdict(reranker.options).items() if name not in _FREE}
    return {
        "model_fingerprint": model_fingerprint(reranker),
        "instruction": instruction,
        **options,
        "max_length": reranker.tokens.max_length,
    }
