"""A described workload -> the plan it would get, to state its cost beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwen3_reranker.plan.pack import Plan, pack
from qwen3_reranker.plan.tree import Segment


@dataclass(frozen=True, slots=True)
class WorkloadShape:
    """Queries, documents of each query, and tokens of each document, suffix left out. No two documents are alike."""

    queries: int
    documents: int
    document_tokens: int


def workload_plan(
    workload: WorkloadShape, *, prefix_tokens: int, query_prefix_tokens: int, suffix_tokens: int, max_length: int
) -> Plan:
    """The plan of a workload. `query_prefix_tokens`: those of instruction, labels and one query.

    Documents are cut as the truncation rule cuts them.
    """
    shared = prefix_tokens + query_prefix_tokens
    length = min(max_length, shared + workload.document_tokens + suffix_tokens)
    # The token ids do not matter: segments are made as if the rows parted after prefix and query prefix.
    ids = np.zeros(length, dtype=np.int32)
    roots: list[Segment] = []

    def below(parent: Segment | None, end: int, reusable: bool) -> Segment | None:
        start = parent.end if parent else 0
        if start == end:
            return parent
        segment = Segment(ids, start, end, parent, reusable)
        (parent.children if parent else roots).append(segment)
        return segment

    prefix = below(None, prefix_tokens, reusable=True)
    ends: list[Segment] = []
    for _ in range(workload.queries):
        head = below(prefix, shared, reusable=True)
        for _ in range(workload.documents):
            end = below(head, length, reusable=False)
            assert end is not None, "a document and the suffix are at least one token"
            ends.append(end)
    return pack(roots, ends, num_row_tokens=length * len(ends))
