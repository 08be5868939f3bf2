"""Rows -> what to compute: every distinct prefix once. Plain integers; no tensors, no device, no model."""

from __future__ import annotations

from qwen3_reranker.plan.pack import Plan, build, pack
from qwen3_reranker.plan.split import Batch, cut_long_segments, split
from qwen3_reranker.plan.tree import Segment, grow, row_key, shared_tokens
from qwen3_reranker.plan.workload import WorkloadShape, workload_plan

__all__ = [
    "Batch",
    "Plan",
    "Segment",
    "WorkloadShape",
    "build",
    "cut_long_segments",
    "grow",
    "pack",
    "row_key",
    "shared_tokens",
    "split",
    "workload_plan",
]
