"""A batch's layout names every token once for each round of work, and every row's end."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.cpu import layout as layouts
from qwen3_reranker.records import Row
from tests.plan.test_tree import row, rows


@settings(max_examples=200, deadline=None)
@given(some=rows(), limit=st.integers(1, 20), num_threads=st.integers(1, 4))
def test_strips_and_pieces_cover_each_token_once_and_leaves_end_the_rows(
    some: list[Row], limit: int, num_threads: int
) -> None:
    built = plan.cut_long_segments(plan.build(some), limit)
    seen_rows: list[int] = []
    kept: set[int] = set()
    for batch in plan.split(built, limit):
        layout = layouts.lay_out(built, batch, kept, num_threads)
        tokens = list(range(len(layout.tokens_T)))
        assert [token for strip in layout.strips for token in tokens[strip]] == tokens
        asked = [token for task in layout.tasks for piece in task for token in range(piece.start, piece.stop)]
        assert sorted(asked) == tokens
        for index, leaf in zip(batch.rows_M.tolist(), layout.leaf_of_row_M.tolist(), strict=True):
            assert layout.tokens_T[layout.leaves[leaf].start] == some[index].ids[-1]
            assert layout.positions_T[layout.leaves[leaf].start] == len(some[index].ids) - 1
        seen_rows.extend(batch.rows_M.tolist())
        kept = (kept | batch.keep) - batch.release
    assert sorted(seen_rows) == list(range(len(some)))


def test_a_long_segment_is_asked_in_pieces_and_short_ones_share_a_task() -> None:
    long = plan.build([row(list(range(9000)))])
    [batch] = plan.split(long, 9000)
    layout = layouts.lay_out(long, batch, set(), 2)
    pieces = [piece for task in layout.tasks for piece in task]
    assert max(piece.stop - piece.start for piece in pieces) * 9000 <= 256 * 4096
    short = plan.build([row([number, 1, 2]) for number in range(100)])
    [batch] = plan.split(short, 9000)
    assert 2 <= len(layouts.lay_out(short, batch, set(), 2).tasks) <= 4


def test_strips_give_every_thread_something_to_do() -> None:
    assert len(layouts.strips(100, 2)) == 2
    assert layouts.strips(1, 4) == [slice(0, 1)]
    assert layouts.strips(0, 4) == []
    assert np.diff([strip.start for strip in layouts.strips(4096, 2)]).tolist() == [512] * 7
