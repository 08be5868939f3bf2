"""Qwen3-Reranker for Haystack, under a path that Haystack trusts when it reads YAML."""

from haystack import component

from qwen3_reranker.integrations import haystack

__all__ = ["Qwen3Ranker"]


@component
class Qwen3Ranker(haystack.Qwen3Ranker):
    __doc__ = haystack.Qwen3Ranker.__doc__
