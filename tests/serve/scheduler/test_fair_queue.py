"""The fair queue: fair to tenants, quick for small requests, and no row is lost."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker.records import Row
from qwen3_reranker.serve.scheduler.fair_queue import FairQueue
from qwen3_reranker.serve.scheduler.request import ScheduledRequest
from testing.rows import NO_RECEIPT

PREFIX = 5


def request(tenant: int, lengths: list[int]) -> ScheduledRequest:
    """A request with a row for each number of tokens after the template; no two rows share more."""
    random = np.random.default_rng(sum(lengths) + tenant)
    rows = []
    for number, length in enumerate(lengths):
        own = np.concatenate(([number], random.integers(0, 50, length - 1)))
        rows.append(Row(np.concatenate((np.arange(PREFIX), own)).astype(np.int32), (PREFIX,), NO_RECEIPT, tenant))
    return ScheduledRequest(rows, deadline=float("inf"), on_end=lambda: None)


def filled(*requests: ScheduledRequest) -> FairQueue:
    queue = FairQueue()
    for each in requests:
        queue.add(each, list(range(len(each.order))))
    return queue


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.lists(st.integers(1, 300), min_size=1, max_size=8)), min_size=1, max_size=8
    ),
    st.integers(1, 2000),
)
def test_every_row_is_taken_once_and_no_batch_of_several_is_larger_than_asked(
    described: list[tuple[int, list[int]]], most: int
) -> None:
    requests = [request(tenant, lengths) for tenant, lengths in described]
    queue = filled(*requests)
    seen = []
    while queue:
        batch = queue.pop_batch(most)
        assert batch
        assert len(batch) == 1 or sum(each.tokens for each in batch) <= most
        seen += [(requests.index(each.request), each.index) for each in batch]
    assert sorted(seen) == [(index, place) for index, each in enumerate(requests) for place in range(len(each.rows))]
    assert queue.tokens == 0


def test_a_tenant_with_a_thousand_documents_leaves_half_of_the_next_batch_to_another() -> None:
    queue = filled(request(1, [100] * 1000), request(2, [100] * 1000))
    batch = queue.pop_batch(4096)
    shares = [sum(each.tokens for each in batch if each.request.tenant == tenant) for tenant in (1, 2)]
    assert abs(shares[0] - shares[1]) <= 612


def test_a_small_request_overtakes_a_large_one_of_the_same_tenant() -> None:
    large, small = request(1, [100] * 500), request(1, [100] * 5)
    queue = filled(large)
    queue.pop_batch(1000)
    queue.add(small, list(range(5)))
    assert [each.request for each in queue.pop_batch(500)] == [small] * 5


def test_a_large_request_waits_for_no_more_than_its_own_size_of_small_ones() -> None:
    large = request(1, [100] * 20)
    queue = filled(large)
    served = 0
    for _ in range(1000):
        queue.add(request(1, [100]), [0])
        served += 1
        if queue.pop_batch(100)[0].request is large:
            break
    assert 1 < served <= 21


def test_who_comes_late_has_saved_nothing_up() -> None:
    queue = filled(request(1, [100] * 1000))
    for _ in range(10):
        queue.pop_batch(4096)
    queue.add(request(2, [100] * 1000), list(range(1000)))
    batch = queue.pop_batch(4096)
    assert sum(each.request.tenant == 1 for each in batch) >= 15


def test_removing_a_request_takes_out_its_rows_and_their_tokens_alone() -> None:
    first, second = request(1, [50] * 10), request(1, [50] * 10)
    queue = filled(first, second)
    queue.pop_batch(120)
    queue.remove(first)
    queue.remove(first)
    rest = []
    while queue:
        rest += queue.pop_batch(1000)
    assert {each.request for each in rest} == {second}
    assert queue.tokens == 0


def test_rows_that_share_a_beginning_are_charged_for_it_once_in_a_batch() -> None:
    head = list(range(PREFIX + 40))
    rows = [Row(np.array([*head, 100 + n], dtype=np.int32), (PREFIX, PREFIX + 40), NO_RECEIPT) for n in range(10)]
    one = ScheduledRequest(rows, deadline=float("inf"), on_end=lambda: None)
    assert one.computed_tokens == PREFIX + 40 + 10
    assert one.cost == 50
    assert sum(each.tokens for each in filled(one).pop_batch(10_000)) == 50
