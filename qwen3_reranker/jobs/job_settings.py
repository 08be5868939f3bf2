"""A model and its options -> what the parts of a job depend on."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from qwen3_reranker.embedder import refuse_judges, refuse_judges_options
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.evaluate.judging import model_fingerprint
from qwen3_reranker.heads import EmbeddingHead
from qwen3_reranker.jobs.part_task import EmbedTask
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.fingerprint import cache_folders, fingerprint

# Options that change no number. Two runs of a job may differ in them.
_FREE = ("num_threads", "max_batch_tokens", "prefix_cache_tokens", "min_shared_tokens", "disk_cache")


def score_settings(reranker: Reranker | RemoteReranker, instruction: str | None) -> dict[str, Any]:
    """The fingerprint of the model, the instruction, and each option that may change a score.

    Of a server it is all that the server lets be seen: its weights are not among that.
    """
    if isinstance(reranker, RemoteReranker):
        return {**reranker.identity(), "instruction": instruction}
    return {
        "model_fingerprint": model_fingerprint(reranker),
        "instruction": instruction,
        **_not_free(reranker.options),
        "max_length": reranker.tokens.max_length,
    }


def embed_settings(task: EmbedTask, options: EngineOptions) -> dict[str, Any]:
    """The fingerprint of an embedding model, and each option that may change a vector.

    Raises what Embedder raises for a model, options or a dim that cannot be used.
    """
    refuse_judges_options(options)
    checkpoint = open_checkpoint(task.model, task.revision)
    refuse_judges(checkpoint)
    content = hashlib.sha256(fingerprint(checkpoint, cache_folders(checkpoint) if options.disk_cache else ()).encode())
    content.update(repr((checkpoint.tokenizer.fields, checkpoint.prompts)).encode())
    return {
        "model_fingerprint": content.hexdigest()[:24],
        "role": task.role,
        "instruction": task.instruction,
        "dim": EmbeddingHead(checkpoint.config.hidden_size, task.options["dim"]).dim,
        **_not_free(options),
        "max_length": checkpoint.config.row_length(options.max_length),
    }


def _not_free(options: EngineOptions) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if name not in _FREE}
