"""Splitting computes every segment once, within the limit, after its ancestors, and forgets what nobody reads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.records import Row
from tests.plan.test_tree import check, row, rows


@given(some=rows(), limit=st.integers(1, 20))
def test_cutting_long_segments_changes_no_row(some: list[Row], limit: int) -> None:
    built = plan.build(some)
    cut = plan.cut_long_segments(built, limit)
    check(cut, some)
    assert cut.num_tokens == built.num_tokens
    assert not cut.num_segments or np.diff(cut.starts_S1).max() <= limit


@given(some=rows(), limit=st.integers(1, 20), data=st.data())
def test_batches_compute_each_unknown_segment_once_when_its_ancestors_are_there(
    some: list[Row], limit: int, data: st.DataObject
) -> None:
    built = plan.cut_long_segments(plan.build(some), limit)
    known_S = np.array([data.draw(st.booleans()) for _ in range(built.num_segments)], dtype=np.bool_)
    lengths = np.diff(built.starts_S1)
    held = set(np.flatnonzero(known_S).tolist())
    computed: list[int] = []
    ended: list[int] = []
    for batch in plan.split(built, limit, known_S):
        assert sum(lengths[list(batch.segments)]) <= limit
        here = set()
        for segment in batch.segments:
            assert set(built.ancestors(segment)) <= held | here
            here.add(segment)
        assert batch.keep <= here
        held |= batch.keep
        assert batch.release <= held
        held -= batch.release
        computed.extend(batch.segments)
        ended.extend(batch.rows_M.tolist())
        assert set(built.ends()[batch.rows_M].tolist()) <= set(batch.segments)
    assert computed == np.flatnonzero(~known_S).tolist()
    assert sorted(ended) == [index for index, end in enumerate(built.ends().tolist()) if not known_S[end]]
    # What is still held is known segments that nothing to compute lies under.
    assert all(known_S[segment] for segment in held)


def test_a_row_longer_than_a_batch_is_computed_in_pieces_that_are_kept_until_its_end() -> None:
    built = plan.cut_long_segments(plan.build([row(list(range(10)))]), 4)
    batches = plan.split(built, 4)
    assert [batch.segments for batch in batches] == [(0,), (1,), (2,)]
    assert [sorted(batch.keep) for batch in batches] == [[0], [1], []]
    assert [sorted(batch.release) for batch in batches] == [[], [], [0, 1]]
