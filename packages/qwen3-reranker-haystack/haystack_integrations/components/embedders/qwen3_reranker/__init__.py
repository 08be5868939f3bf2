"""Qwen3-Embedding for Haystack, under a path that Haystack trusts when it reads YAML."""

from haystack import component

from qwen3_reranker.integrations import haystack_embedders

__all__ = ["Qwen3DocumentEmbedder", "Qwen3TextEmbedder"]


@component
class Qwen3TextEmbedder(haystack_embedders.Qwen3TextEmbedder):
    __doc__ = haystack_embedders.Qwen3TextEmbedder.__doc__


@component
class Qwen3DocumentEmbedder(haystack_embedders.Qwen3DocumentEmbedder):
    __doc__ = haystack_embedders.Qwen3DocumentEmbedder.__doc__
