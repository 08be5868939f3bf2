"""A batch's layout -> the work of attention: what each query sees, cut into blocks for threads, once for all layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.layout import BatchLayout
from qwen3_reranker.plan import Plan

Integers = NDArray[np.int64]
# Tokens in order: the number of their source (0 the batch, s the segment sources[s - 1]), the first one, and how many.
KvRange = tuple[int, int, int]

# A work item has at least so many queries, where there are enough.
_ITEM_QUERIES = 128
#: The maximum number of a query block's attention scores in one head: threads share a long segment.
BLOCK_SCORES = 256 * 4096


@dataclass(frozen=True, eq=False, slots=True)
class AttentionWork:
    """Attention of one batch as the kernels take it: N blocks of queries, F tokens that end a row, R ranges of tokens.

    A row of `all_queries_N6` is a block of queries of one segment: the segment's first token in the batch; first query
    and end; index of the first query among all; first range of its ancestors in `kv_ranges_R3` and end.
    work_items: item i is the blocks `work_items[i]:work_items[i + 1]`, which one thread takes.
    leaf_queries_F6: the same for each token that ends a row, a block of one query.
    kv_ranges_R3: ancestors' tokens, root first: source (0 the batch, s the segment `sources[s - 1]`), first, count.
    sources: segments of earlier batches. max_seqlen_k: the maximum number of tokens that a query sees.
    """

    all_queries_N6: Integers
    work_items: Integers
    leaf_queries_F6: Integers
    kv_ranges_R3: Integers
    sources: tuple[int, ...]
    max_seqlen_k: int


def attention_work(plan: Plan, layout: BatchLayout, kept: Collection[int]) -> AttentionWork:
    """The work of one batch; every ancestor is in the batch or in `kept`."""
    slices = layout.slices()
    max_seqlen_k = int(layout.positions_T.max()) + 1
    leaf_numbers = {token: number for number, token in enumerate(layout.leaves_F.tolist())}
    sources: dict[int, int] = {}
    ranges: list[KvRange] = []
    found: dict[tuple[KvRange, ...], tuple[int, int]] = {}
    blocks: list[tuple[int, ...]] = []
    leaves: list[tuple[int, ...]] = []
    for segment, tokens in slices.items():
        path = _kv_ranges(plan, segment, slices, kept, sources)
        # Equal paths share their ranges, so that the kernels gather them once for blocks in a row.
        if path not in found:
            found[path] = (len(ranges), len(ranges) + len(path))
            ranges.extend(path)
        for start, stop in _cut(tokens, max(1, BLOCK_SCORES // max_seqlen_k)):
            blocks.append((tokens.start, start, stop, start, *found[path]))
        last = tokens.stop - 1
        if last in leaf_numbers:
            leaves.append((tokens.start, last, last + 1, leaf_numbers[last], *found[path]))
    return AttentionWork(
        all_queries_N6=_rows(blocks, 6),
        work_items=np.array(list(_work_items([stop - start for _, start, stop, *_ in blocks])), dtype=np.int64),
        leaf_queries_F6=_rows(leaves, 6),
        kv_ranges_R3=_rows(ranges, 3),
        sources=tuple(sources),
        max_seqlen_k=max_seqlen_k,
    )


def _kv_ranges(
    plan: Plan, segment: int, slices: dict[int, slice], kept: Collection[int], sources: dict[int, int]
) -> tuple[KvRange, ...]:
    """The ancestors' tokens from the root down; those that follow one another in the batch are one range."""
    ranges: list[KvRange] = []
    for ancestor in plan.ancestors(segment):
        if ancestor not in slices:
            assert ancestor in kept, "an ancestor is computed before its descendants"
            ranges.append((sources.setdefault(ancestor, len(sources) + 1), 0, len(plan.tokens(ancestor))))
            continue
        start, length = slices[ancestor].start, slices[ancestor].stop - slices[ancestor].start
        if ranges and ranges[-1][0] == 0 and ranges[-1][1] + ranges[-1][2] == start:
            ranges[-1] = (0, ranges[-1][1], ranges[-1][2] + length)
        else:
            ranges.append((0, start, length))
    return tuple(ranges)


def _cut(tokens: slice, size: int) -> Iterator[tuple[int, int]]:
    for start in range(tokens.start, tokens.stop, size):
        yield start, min(start + size, tokens.stop)


def _work_items(queries: list[int]) -> Iterator[int]:
    """Where each work item begins among blocks of so many queries, and the end."""
    yield 0
    in_item = 0
    for number, count in enumerate(queries, 1):
        in_item += count
        if in_item >= _ITEM_QUERIES or number == len(queries):
            yield number
            in_item = 0


def _rows(rows: list[tuple[int, ...]] | list[KvRange], columns: int) -> Integers:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)
