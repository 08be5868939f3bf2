"""The work of attention names every token of a batch once, and the tokens before it in the order of its row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.cpu.attention_work import BLOCK_SCORES, AttentionWork, attention_work
from qwen3_reranker.backends.layout import BatchLayout, lay_out
from qwen3_reranker.plan import Batch, Plan
from qwen3_reranker.records import Row
from tests.plan.test_tree import row, rows


def work_of(built: Plan, batch: Batch, kept: set[int]) -> tuple[BatchLayout, AttentionWork]:
    layout = lay_out(built, batch)
    return layout, attention_work(built, layout, kept)


def seen(built: Plan, layout: BatchLayout, work: AttentionWork, block: np.ndarray) -> list[int]:
    """The tokens that the last query of a block sees."""
    segment_start, _, stop, _, first_range, last_range = block.tolist()
    tokens: list[int] = []
    for source, first, count in work.kv_ranges_R3[first_range:last_range].tolist():
        held = built.tokens(work.sources[source - 1]) if source else layout.tokens_T
        tokens += held[first : first + count].tolist()
    return [*tokens, *layout.tokens_T[segment_start:stop].tolist()]


@given(some=rows(), limit=st.integers(1, 20))
def test_blocks_cover_each_token_once_and_see_its_row_and_leaves_end_the_rows(some: list[Row], limit: int) -> None:
    built = plan.cut_long_segments(plan.build(some), limit)
    seen_rows: list[int] = []
    kept: set[int] = set()
    for batch in plan.split(built, limit):
        layout, work = work_of(built, batch, kept)
        queries = [token for _, start, stop, *_ in work.all_queries_N6.tolist() for token in range(start, stop)]
        assert queries == list(range(len(layout.tokens_T)))
        assert work.all_queries_N6[:, 3].tolist() == work.all_queries_N6[:, 1].tolist()
        assert (work.work_items[0], work.work_items[-1]) == (0, len(work.all_queries_N6))
        assert (np.diff(work.work_items) > 0).all()
        lengths = [len(seen(built, layout, work, block)) for block in work.all_queries_N6]
        assert lengths == (layout.positions_T[work.all_queries_N6[:, 2] - 1] + 1).tolist()
        assert max(lengths) == work.max_seqlen_k
        assert work.leaf_queries_F6[:, 3].tolist() == list(range(len(layout.leaves_F)))
        assert work.leaf_queries_F6[:, 1].tolist() == layout.leaves_F.tolist()
        for index, leaf in zip(batch.rows_M.tolist(), layout.leaf_of_row_M.tolist(), strict=True):
            assert seen(built, layout, work, work.leaf_queries_F6[leaf]) == some[index].ids.tolist()
        seen_rows.extend(batch.rows_M.tolist())
        kept = (kept | batch.keep) - batch.release
    assert sorted(seen_rows) == list(range(len(some)))


def test_a_long_segment_is_cut_into_blocks_and_short_ones_share_a_work_item() -> None:
    long = plan.build([row(list(range(9000)))])
    [batch] = plan.split(long, 9000)
    _, work = work_of(long, batch, set())
    assert (work.all_queries_N6[:, 2] - work.all_queries_N6[:, 1]).max() * 9000 <= BLOCK_SCORES
    short = plan.build([row([number, 1, 2]) for number in range(100)])
    [batch] = plan.split(short, 9000)
    assert 2 <= len(work_of(short, batch, set())[1].work_items) - 1 <= 4
