"""Qwen3-Reranker and Qwen3-Embedding for LlamaIndex: the classes of qwen3_reranker.integrations.llama_index."""

from qwen3_reranker.integrations.llama_index import Qwen3Embedding, Qwen3Rerank

__all__ = ["Qwen3Embedding", "Qwen3Rerank"]
