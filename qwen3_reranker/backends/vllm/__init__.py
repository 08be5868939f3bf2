"""vLLM as a backend: it gets the tokens of rows, shares their beginnings in blocks, and gives their logits."""

from __future__ import annotations

from qwen3_reranker.backends.vllm.backend import VllmBackend, open_backend

__all__ = ["VllmBackend", "open_backend"]
