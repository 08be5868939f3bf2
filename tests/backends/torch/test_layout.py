"""A layout says of every token which keys it sees: those of its path up to itself, each once, in order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.torch.layout import BatchLayout, Sequences, lay_out
from qwen3_reranker.backends.torch.padding import capacity, filled
from qwen3_reranker.plan import Batch, Plan
from qwen3_reranker.records import Row
from testing.rows import NO_RECEIPT, tree_rows


def seen(sequences: Sequences) -> list[list[int]]:
    """The keys of each query, as Sequences describes them."""
    found = []
    starts, ends = sequences.query_starts_S1[:-1].tolist(), sequences.query_starts_S1[1:].tolist()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        keys = sequences.keys_K[sequences.key_starts_S1[number] : sequences.key_starts_S1[number + 1]].tolist()
        found += [keys[: len(keys) - (end - query - 1)] for query in range(start, end)]
    return found


def layouts(built: Plan, limit: int) -> list[tuple[Batch, BatchLayout]]:
    kept: set[int] = set()
    found = []
    for batch in plan.split(built, limit):
        found.append((batch, lay_out(built, batch, kept)))
        kept = (kept | batch.keep) - batch.release
    return found


def pool(built: Plan, layout: BatchLayout) -> list[tuple[int, int]]:
    """Token and position of every key in the pool."""
    kept = [
        (int(token), int(built.offsets_S[segment]) + turn)
        for segment in layout.ancestors
        for turn, token in enumerate(built.tokens(segment))
    ]
    return [*kept, *zip(layout.tokens_T.tolist(), layout.positions_T.tolist(), strict=True)]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), limit=st.sampled_from([1, 7, 30, 10_000]))
def test_every_token_sees_the_tokens_of_its_row_up_to_itself_in_the_order_of_positions(
    seed: int, count: int, limit: int
) -> None:
    built = plan.build(tree_rows(seed, count, 12), 2)
    rows_seen = 0
    for batch, layout in layouts(built, limit):
        keys = pool(built, layout)
        for place, places in enumerate(seen(layout.everyone)):
            assert [keys[each][1] for each in places] == list(range(layout.positions_T[place] + 1))
            assert keys[places[-1]] == (layout.tokens_T[place], layout.positions_T[place])
        leaves = seen(layout.leaves)
        for row, leaf in zip(batch.rows_M.tolist(), layout.leaf_of_row_M.tolist(), strict=True):
            assert [keys[each][0] for each in leaves[leaf]] == built.row(row).tolist()
            rows_seen += 1
    assert rows_seen == built.num_rows


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), limit=st.sampled_from([7, 30, 10_000]))
def test_filling_a_layout_up_moves_no_key_of_its_tokens_and_leaves(seed: int, count: int, limit: int) -> None:
    built = plan.build(tree_rows(seed, count, 12), 2)
    for _, layout in layouts(built, limit):
        if not len(layout.leaves_F):
            continue
        num_kept = sum(len(built.tokens(segment)) for segment in layout.ancestors)
        room = capacity(layout, num_kept, 5)
        full = filled(layout, num_kept, room)

        def moved(keys: list[int], num_kept: int = num_kept, shift: int = room.kept - num_kept) -> list[int]:
            return [key if key < num_kept else key + shift for key in keys]

        tokens, leaves = len(layout.tokens_T), len(layout.leaves_F)
        assert seen(full.everyone)[:tokens] == [moved(keys) for keys in seen(layout.everyone)]
        assert seen(full.leaves)[:leaves] == [moved(keys) for keys in seen(layout.leaves)]
        assert full.tokens_T[:tokens].tolist() == layout.tokens_T.tolist()
        assert full.leaves_F[:leaves].tolist() == layout.leaves_F.tolist()
        assert (len(full.tokens_T), len(full.leaves_F)) == (room.tokens, room.sequences)
        assert len(full.everyone.keys_K) == room.keys
        assert len(full.leaves.keys_K) == room.leaf_keys
        assert full.leaves.key_starts_S1[-1] <= room.leaf_keys
        assert full.everyone.query_lengths.max() <= room.most_queries
        assert max(full.everyone.key_lengths.max(), full.leaves.key_lengths.max()) <= room.most_keys


def test_a_tree_may_be_deeper_than_python_recurses() -> None:
    nested = [Row(np.arange(length, dtype=np.int32), (), NO_RECEIPT) for length in range(1, 3001)]
    [(_, layout)] = layouts(plan.build(nested, 1), 10_000)
    assert layout.everyone.key_lengths.tolist() == [3000]
    assert layout.leaves.key_lengths.tolist() == list(range(1, 3001))


def test_like_batches_share_a_capacity_and_larger_ones_do_not() -> None:
    def room(count: int, longest: int) -> object:
        [(_, layout)] = layouts(plan.build(tree_rows(1, count, longest), 2), 10_000)
        return capacity(layout, 0, 0)

    assert room(9, 20) == room(9, 21)
    assert room(9, 20) != room(40, 20)
