"""Attention metadata names the keys of every token: those of its path up to itself, each once, in order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.layout import BatchLayout, lay_out
from qwen3_reranker.backends.torch.padding import graph_shape, pad_to
from qwen3_reranker.backends.torch.varlen import AttentionMetadata, VarlenMetadata, attention_metadata
from qwen3_reranker.plan import Batch, Plan
from qwen3_reranker.records import Row
from testing.rows import NO_RECEIPT, tree_rows


def seen(metadata: VarlenMetadata) -> list[list[int]]:
    """The keys of each query, as VarlenMetadata describes them."""
    found = []
    starts, ends = metadata.cu_seqlens_q[:-1].tolist(), metadata.cu_seqlens_q[1:].tolist()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        keys = metadata.kv_indices[metadata.cu_seqlens_k[number] : metadata.cu_seqlens_k[number + 1]].tolist()
        found += [keys[: len(keys) - (end - query - 1)] for query in range(start, end)]
    return found


def batches(built: Plan, limit: int) -> list[tuple[Batch, BatchLayout, AttentionMetadata]]:
    kept: set[int] = set()
    found = []
    for batch in plan.split(built, limit):
        layout = lay_out(built, batch)
        found.append((batch, layout, attention_metadata(built, layout, kept)))
        kept = (kept | batch.keep) - batch.release
    return found


def pool(built: Plan, layout: BatchLayout, metadata: AttentionMetadata) -> list[tuple[int, int]]:
    """Token and position of every key in the pool."""
    kept = [
        (int(token), int(built.offsets_S[segment]) + turn)
        for segment in metadata.cached_segments
        for turn, token in enumerate(built.tokens(segment))
    ]
    return [*kept, *zip(layout.tokens_T.tolist(), layout.positions_T.tolist(), strict=True)]


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), limit=st.sampled_from([1, 7, 30, 10_000]))
def test_every_token_sees_the_tokens_of_its_row_up_to_itself_in_the_order_of_positions(
    seed: int, count: int, limit: int
) -> None:
    built = plan.build(tree_rows(seed, count, 12), 2)
    rows_seen = 0
    for batch, layout, metadata in batches(built, limit):
        keys = pool(built, layout, metadata)
        for token, indices in enumerate(seen(metadata.all_queries)):
            assert [keys[each][1] for each in indices] == list(range(layout.positions_T[token] + 1))
            assert keys[indices[-1]] == (layout.tokens_T[token], layout.positions_T[token])
        leaves = seen(metadata.leaf_queries)
        for row, leaf in zip(batch.rows_M.tolist(), layout.leaf_of_row_M.tolist(), strict=True):
            assert [keys[each][0] for each in leaves[leaf]] == built.row(row).tolist()
            rows_seen += 1
    assert rows_seen == built.num_rows


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), limit=st.sampled_from([7, 30, 10_000]))
def test_padding_a_batch_moves_no_key_of_its_tokens_and_leaves(seed: int, count: int, limit: int) -> None:
    built = plan.build(tree_rows(seed, count, 12), 2)
    for _, layout, metadata in batches(built, limit):
        if not len(layout.leaves_F):
            continue
        num_cached = sum(len(built.tokens(segment)) for segment in metadata.cached_segments)
        shape = graph_shape(layout, metadata, num_cached, 5)
        padded_layout, padded = pad_to(shape, layout, metadata, num_cached)

        def moved(keys: list[int], num_cached: int = num_cached, shift: int = shape.cached - num_cached) -> list[int]:
            return [key if key < num_cached else key + shift for key in keys]

        tokens, leaves = len(layout.tokens_T), len(layout.leaves_F)
        all_queries, leaf_queries = padded.all_queries, padded.leaf_queries
        assert seen(all_queries)[:tokens] == [moved(keys) for keys in seen(metadata.all_queries)]
        assert seen(leaf_queries)[:leaves] == [moved(keys) for keys in seen(metadata.leaf_queries)]
        assert padded_layout.tokens_T[:tokens].tolist() == layout.tokens_T.tolist()
        assert padded_layout.leaves_F[:leaves].tolist() == layout.leaves_F.tolist()
        assert (len(padded_layout.tokens_T), len(padded_layout.leaves_F)) == (shape.tokens, shape.sequences)
        assert len(all_queries.kv_indices) == shape.keys
        assert len(leaf_queries.kv_indices) == shape.leaf_keys
        assert leaf_queries.cu_seqlens_k[-1] <= shape.leaf_keys
        for each in (all_queries, leaf_queries):
            assert each.seqlens_q.max() <= each.max_seqlen_q <= shape.max_seqlen_q
            assert each.seqlens_k.max() <= each.max_seqlen_k == shape.max_seqlen_k


def test_a_tree_may_be_deeper_than_python_recurses() -> None:
    nested = [Row(np.arange(length, dtype=np.int32), (), NO_RECEIPT) for length in range(1, 3001)]
    [(_, _, metadata)] = batches(plan.build(nested, 1), 10_000)
    assert metadata.all_queries.seqlens_k.tolist() == [3000]
    assert metadata.leaf_queries.seqlens_k.tolist() == list(range(1, 3001))


def test_similar_batches_share_a_shape_and_larger_ones_do_not() -> None:
    def shape(count: int, longest: int) -> object:
        [(_, layout, metadata)] = batches(plan.build(tree_rows(1, count, longest), 2), 10_000)
        return graph_shape(layout, metadata, 0, 0)

    assert shape(9, 20) == shape(9, 21)
    assert shape(9, 20) != shape(40, 20)
