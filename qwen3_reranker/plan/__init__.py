"""Rows -> what to compute: every distinct prefix once. Plain integers; no tensors, no device, no model."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3_reranker.plan.pack import Plan, pack
from qwen3_reranker.plan.split import Batch, cut_long_segments, split
from qwen3_reranker.plan.tree import Segment, grow, row_key, shared_tokens
from qwen3_reranker.plan.workload import WorkloadShape, workload_plan
from qwen3_reranker.records import Row

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


def build(rows: Sequence[Row], min_shared_tokens: int = 1) -> Plan:
    """The plan of these rows; a common beginning shorter than `min_shared_tokens` is computed apart."""
    return pack(*grow(rows, min_shared_tokens), num_row_tokens=sum(len(row.ids) for row in rows))
