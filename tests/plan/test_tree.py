"""A plan holds every distinct prefix once, in an order that can be computed, and rebuilds every row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Receipt, Row

NO_RECEIPT = Receipt(0, 0, 0, 0)


def row(ids: list[int], boundaries: tuple[int, ...] = ()) -> Row:
    return Row(np.array(ids, dtype=np.int32), boundaries, NO_RECEIPT)


def rows() -> st.SearchStrategy[list[Row]]:
    # Few different tokens, so that prefixes are shared at every depth; some beyond one byte, so that order matters.
    token = st.sampled_from([0, 1, 2, 255, 256, 151_668])
    ids = st.lists(token, min_size=1, max_size=12)
    return st.lists(st.builds(row, ids, st.tuples(st.integers(1, 5), st.integers(6, 9))), max_size=12)


def distinct_prefixes(some: list[Row]) -> int:
    return len({tuple(each.ids[:end].tolist()) for each in some for end in range(1, len(each.ids) + 1)})


def lone(built: Plan, segment: int) -> bool:
    return built.parents_S.tolist().count(segment) == 1


def check(built: Plan, some: list[Row]) -> None:
    assert built.num_rows == len(some)
    assert built.num_row_tokens == sum(len(each.ids) for each in some)
    for index, each in enumerate(some):
        assert built.row(index).tolist() == each.ids.tolist()
    assert all(parent < segment for segment, parent in enumerate(built.parents_S.tolist()))
    assert all(built.starts_S1[:-1] < built.starts_S1[1:])
    for segment in range(built.num_segments):
        above = sum(len(built.tokens(each)) for each in built.ancestors(segment))
        assert above == built.offsets_S[segment]
    assert built.leaves_N.tolist() == (built.starts_S1[1:][built.ends()] - 1).tolist()


@given(some=rows())
def test_every_distinct_prefix_is_held_once_and_every_row_is_rebuilt(some: list[Row]) -> None:
    built = plan.build(some)
    check(built, some)
    assert built.num_tokens == distinct_prefixes(some)


@given(some=rows(), least=st.integers(2, 6))
def test_short_shared_beginnings_may_be_computed_apart_and_rows_stay_the_same(some: list[Row], least: int) -> None:
    built = plan.build(some, least)
    check(built, some)
    assert distinct_prefixes(some) <= built.num_tokens <= built.num_row_tokens
    # Whatever is cut off above several branches is worth it, unless a row's end or a boundary cut it.
    ends = set(built.ends().tolist())
    for segment in set(built.parents_S.tolist()) - {-1} - ends:
        assert built.reusable_S[segment] or len(built.tokens(segment)) >= least or lone(built, segment)


def test_a_segment_ends_at_each_boundary_of_a_row_so_that_it_can_be_reused() -> None:
    built = plan.build([row([1, 2, 3, 4, 5], (2, 4))])
    assert np.diff(built.starts_S1).tolist() == [2, 2, 1]
    assert built.reusable_S.tolist() == [True, True, False]


def test_identical_rows_share_their_leaf() -> None:
    built = plan.build([row([1, 2]), row([1, 3]), row([1, 2])])
    assert built.leaves_N[0] == built.leaves_N[2] != built.leaves_N[1]


def test_no_rows_give_an_empty_plan() -> None:
    built = plan.build([])
    assert (built.num_tokens, built.num_rows, built.num_segments) == (0, 0, 0)
    assert str(built) == "0 tokens instead of 0 (0% saved): 0 rows, 0 segments"


def test_a_plan_prints_as_an_outline_with_its_saving() -> None:
    head = [7] * 6
    built = plan.build([row([*head, 1, 1], (4, 6)), row([*head, 2], (4, 6)), row([*head, 3, 3, 3, 3], (4, 6))])
    assert str(built).splitlines() == [
        "13 tokens instead of 25 (48% saved): 3 rows, 5 segments",
        "4 tokens, shared",
        "  2 tokens, shared",
        "    3 ends of 1 to 4 tokens",
    ]


def test_a_large_plan_prints_as_a_short_outline() -> None:
    some = [row([first, second, third]) for first in range(9) for second in range(9) for third in range(9)]
    assert len(str(plan.build(some)).splitlines()) < 50


@given(some=rows(), owners=st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_rows_of_different_owners_share_the_template_and_nothing_else(some: list[Row], owners: list[int]) -> None:
    prefix = [7, 8, 9]
    owned = [
        Row(np.array([*prefix, *each.ids.tolist()], dtype=np.int32), (3,), NO_RECEIPT, owner)
        for each, owner in zip(some, owners, strict=False)
    ]
    built = plan.build(owned)
    check(built, owned)
    apart = sum(distinct_prefixes([each for each in owned if each.cache_salt == owner]) for owner in {*owners})
    alone = len({each.cache_salt for each in owned})
    assert built.num_tokens == apart - max(0, alone - 1) * len(prefix)
    for row_number, end in enumerate(built.ends().tolist()):
        for segment in [*built.ancestors(end), end]:
            shared = built.offsets_S[segment] + len(built.tokens(segment)) <= len(prefix)
            assert built.cache_salts_S[segment] == (0 if shared else owned[row_number].cache_salt)
