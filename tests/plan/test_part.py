"""Shares of a plan hold every row once, are about equal, and are plans of their own."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.records import Row
from testing.rows import tree_rows
from tests.plan.test_tree import check, rows


@settings(max_examples=300, deadline=None)
@given(some=rows(), count=st.integers(1, 5))
def test_shares_hold_every_row_once_and_their_plans_rebuild_them(some: list[Row], count: int) -> None:
    built = plan.build(some)
    shares = plan.divide(built, count)
    assert len(shares) <= count
    assert sorted(np.concatenate([np.empty(0, np.int64), *shares]).tolist()) == list(range(len(some)))
    for rows_M in shares:
        share = plan.part(built, rows_M)
        check(share, [some[row] for row in rows_M.tolist()])
        assert share.num_row_tokens == sum(len(some[row].ids) for row in rows_M.tolist())


def test_shares_have_about_as_many_tokens_each() -> None:
    built = plan.build(tree_rows(1, 200, 40))
    tokens = [plan.part(built, rows_M).num_tokens for rows_M in plan.divide(built, 4)]
    assert len(tokens) == 4
    assert max(tokens) < 1.2 * min(tokens)
    assert sum(tokens) < 1.1 * built.num_tokens
