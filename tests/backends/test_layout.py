"""A batch's layout holds the tokens of its segments in order, and knows where each row ends."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.layout import lay_out
from testing.rows import tree_rows


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), limit=st.sampled_from([1, 7, 30, 10_000]))
def test_the_layouts_of_all_batches_hold_each_segment_once_and_each_row_ends_at_its_leaf(
    seed: int, count: int, limit: int
) -> None:
    built = plan.build(tree_rows(seed, count, 12), 2)
    segments: list[int] = []
    rows: list[int] = []
    for batch in plan.split(built, limit):
        layout = lay_out(built, batch)
        for segment, tokens in layout.slices().items():
            assert layout.tokens_T[tokens].tolist() == built.tokens(segment).tolist()
            start = int(built.offsets_S[segment])
            assert layout.positions_T[tokens].tolist() == list(range(start, start + tokens.stop - tokens.start))
        assert layout.leaves_F.tolist() == sorted(set(layout.leaves_F.tolist()))
        for row, leaf in zip(batch.rows_M.tolist(), layout.leaves_F[layout.leaf_of_row_M].tolist(), strict=True):
            assert layout.tokens_T[leaf] == built.row(row)[-1]
            assert layout.positions_T[leaf] == len(built.row(row)) - 1
        segments += layout.segments
        rows += batch.rows_M.tolist()
    assert sorted(segments) == list(range(built.num_segments))
    assert sorted(rows) == list(range(built.num_rows))


def test_a_batch_without_a_row_end_has_no_leaves() -> None:
    built = plan.cut_long_segments(plan.build(tree_rows(1, 1, 12)), 2)
    layout = lay_out(built, plan.split(built, 2)[0])
    assert layout.leaves_F.size == layout.leaf_of_row_M.size == 0
    assert np.array_equal(layout.cu_seqlens_B1, [0, len(layout.tokens_T)])
