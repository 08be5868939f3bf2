"""Qwen3-Reranker and Qwen3-Embedding for LangChain: the classes of qwen3_reranker.integrations.langchain."""

from qwen3_reranker.integrations.langchain import Qwen3CrossEncoder, Qwen3DocumentCompressor, Qwen3Embeddings

__all__ = ["Qwen3CrossEncoder", "Qwen3DocumentCompressor", "Qwen3Embeddings"]
