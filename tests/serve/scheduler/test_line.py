"""The line: fair to owners, kind to small requests, and it forgets nobody."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker.records import Row
from qwen3_reranker.serve.scheduler.job import Job
from qwen3_reranker.serve.scheduler.line import Line
from testing.rows import NO_RECEIPT

PREFIX = 5


def job(owner: int, lengths: list[int]) -> Job:
    """A job with a row for each number of tokens behind the template; no two share more."""
    random = np.random.default_rng(sum(lengths) + owner)
    rows = []
    for number, length in enumerate(lengths):
        own = np.concatenate(([number], random.integers(0, 50, length - 1)))
        rows.append(Row(np.concatenate((np.arange(PREFIX), own)).astype(np.int32), (PREFIX,), NO_RECEIPT, owner))
    return Job(rows, deadline=float("inf"), on_end=lambda: None)


def filled(*jobs: Job) -> Line:
    line = Line()
    for each in jobs:
        line.add(each, list(range(len(each.order))))
    return line


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.lists(st.integers(1, 300), min_size=1, max_size=8)), min_size=1, max_size=8
    ),
    st.integers(1, 2000),
)
def test_every_row_is_taken_once_and_no_batch_of_several_is_larger_than_asked(
    described: list[tuple[int, list[int]]], most: int
) -> None:
    jobs = [job(owner, lengths) for owner, lengths in described]
    line = filled(*jobs)
    seen = []
    while line:
        batch = line.take(most)
        assert batch
        assert len(batch) == 1 or sum(each.tokens for each in batch) <= most
        seen += [(jobs.index(each.job), each.place) for each in batch]
    assert sorted(seen) == [(index, place) for index, each in enumerate(jobs) for place in range(len(each.rows))]
    assert line.tokens == 0


def test_an_owner_with_a_thousand_documents_leaves_half_of_the_next_batch_to_another() -> None:
    line = filled(job(1, [100] * 1000), job(2, [100] * 1000))
    batch = line.take(4096)
    shares = [sum(each.tokens for each in batch if each.job.owner == owner) for owner in (1, 2)]
    assert abs(shares[0] - shares[1]) <= 612


def test_a_small_request_overtakes_a_large_one_of_the_same_owner() -> None:
    large, small = job(1, [100] * 500), job(1, [100] * 5)
    line = filled(large)
    line.take(1000)
    line.add(small, list(range(5)))
    assert [each.job for each in line.take(500)] == [small] * 5


def test_a_large_request_waits_for_no_more_than_its_own_size_of_small_ones() -> None:
    large = job(1, [100] * 20)
    line = filled(large)
    served = 0
    for _ in range(1000):
        line.add(job(1, [100]), [0])
        served += 1
        if line.take(100)[0].job is large:
            break
    assert 1 < served <= 21


def test_who_comes_late_has_saved_nothing_up() -> None:
    line = filled(job(1, [100] * 1000))
    for _ in range(10):
        line.take(4096)
    line.add(job(2, [100] * 1000), list(range(1000)))
    batch = line.take(4096)
    assert sum(each.job.owner == 1 for each in batch) >= 15


def test_dropping_a_job_takes_out_its_rows_and_their_tokens_alone() -> None:
    first, second = job(1, [50] * 10), job(1, [50] * 10)
    line = filled(first, second)
    line.take(120)
    line.drop(first)
    line.drop(first)
    rest = []
    while line:
        rest += line.take(1000)
    assert {each.job for each in rest} == {second}
    assert line.tokens == 0


def test_rows_that_share_a_beginning_are_charged_for_it_once_in_a_batch() -> None:
    head = list(range(PREFIX + 40))
    rows = [Row(np.array([*head, 100 + n], dtype=np.int32), (PREFIX, PREFIX + 40), NO_RECEIPT) for n in range(10)]
    one = Job(rows, deadline=float("inf"), on_end=lambda: None)
    assert one.computed_tokens == PREFIX + 40 + 10
    assert one.cost == 50
    assert sum(each.tokens for each in filled(one).take(10_000)) == 50
