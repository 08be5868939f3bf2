"""The scheduler with the real model: what is merged, admitted, cancelled and outlived."""

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.serve.scheduler import Overloaded, ScheduledRequest, Scheduler
from qwen3_reranker.serve.scheduler.scheduler import Throughput
from testing.patience import PATIENCE_SECONDS
from testing.watch import Watch

QUERY = "how do I undo my last commit"
DOCUMENTS = [f"Section {n}: git revert makes a commit that undoes an earlier one, number {n}." for n in range(12)]


@pytest.fixture(scope="module")
def nano() -> Iterator[Reranker]:
    with Reranker("nano", max_batch_tokens=512) as reranker:
        yield reranker


@pytest.fixture
def watched(nano: Reranker) -> Watch:
    return Watch(nano)


@pytest.fixture
def scheduler(watched: Watch) -> Iterator[Scheduler]:
    made = Scheduler(watched, batch_tokens=512, max_waiting_tokens=3000)
    yield made
    watched.door.set()
    made.close()


def test_the_expected_time_of_many_tokens_is_not_that_of_many_small_batches() -> None:
    throughput = Throughput()
    assert throughput.seconds(8000) == 0
    throughput.add(1000, 60.0)  # a first batch, which compiles
    for _ in range(50):
        throughput.add(2000, 1.0)
    for _ in range(1000):
        throughput.add(50, 0.2)
    assert throughput.seconds(8000) == pytest.approx(4.0)
    for _ in range(50):
        throughput.add(2000, 2.0)
    assert throughput.seconds(8000) == pytest.approx(8.0, rel=0.01)


def test_a_step_without_tokens_tells_no_rate() -> None:
    throughput = Throughput()
    throughput.add(0, 1.0)
    assert throughput.seconds(8000) == 0
    throughput.add(2000, 1.0)
    throughput.add(0, 1.0)
    assert throughput.seconds(8000) == pytest.approx(4.0)


class Waiting:
    """A request and the event of its end."""

    def __init__(
        self, nano: Reranker, documents: Sequence[str] = DOCUMENTS, *, owner: int = 1, seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.ended = threading.Event()
        rows = nano.rows([QUERY] * len(documents), documents, cache_salt=owner)
        self.request = ScheduledRequest(rows, deadline=time.monotonic() + seconds, on_end=self.ended.set)

    def logits(self) -> NDArray[np.float32]:
        assert self.ended.wait(PATIENCE_SECONDS)
        if self.request.error:
            raise self.request.error
        return self.request.outputs_N


def test_many_requests_at_once_get_the_logits_that_each_gets_alone(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    watched.door.clear()
    waiting = [Waiting(nano, DOCUMENTS[:n], owner=n % 3) for n in (12, 1, 5, 7, 3)]
    for each in waiting:
        scheduler.submit(each.request)
    watched.door.set()
    for each, n in zip(waiting, (12, 1, 5, 7, 3), strict=True):
        alone = nano.logits([(QUERY, document) for document in DOCUMENTS[:n]])
        np.testing.assert_allclose(each.logits(), alone, atol=1e-4)
    assert len(watched.batches) < sum((12, 1, 5, 7, 3))
    assert any(len({row.cache_salt for row in batch}) > 1 for batch in watched.batches)


def test_after_a_cancellation_no_further_batch_holds_a_row_of_the_request(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    watched.door.clear()
    gone, stays = Waiting(nano, owner=1), Waiting(nano, owner=2)
    scheduler.submit(gone.request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    scheduler.submit(stays.request)
    assert scheduler.cancel(gone.request, TimeoutError("gone"))
    assert not scheduler.cancel(gone.request, TimeoutError("again"))
    watched.door.set()
    stays.logits()
    assert all(row.cache_salt != 1 for batch in watched.batches[1:] for row in batch)
    with pytest.raises(TimeoutError):
        gone.logits()
    assert scheduler.stats().waiting_tokens == 0


def test_what_does_not_fit_is_refused_whole_and_what_fits_is_admitted_whole(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    watched.door.clear()
    admitted, refused = [], 0
    for _ in range(12):
        waiting = Waiting(nano)
        try:
            scheduler.submit(waiting.request)
        except Overloaded:
            refused += 1
        else:
            admitted.append(waiting)
    assert admitted
    assert refused
    assert scheduler.stats().waiting_tokens <= 3000 + 512  # what is computed counts with its shared beginning
    watched.door.set()
    assert all(np.isfinite(each.logits()).all() for each in admitted)


def test_an_idle_model_takes_a_request_of_any_size(nano: Reranker, scheduler: Scheduler) -> None:
    large = Waiting(nano, [f"{document} {n}" for n in range(40) for document in DOCUMENTS])
    assert large.request.cost > 3000  # what may wait
    scheduler.submit(large.request)
    assert np.isfinite(large.logits()).all()


def test_a_request_that_would_end_behind_its_deadline_is_refused_at_once(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    first = Waiting(nano)
    scheduler.submit(first.request)
    first.logits()
    watched.door.clear()
    scheduler.submit(Waiting(nano).request)
    with pytest.raises(Overloaded, match="longer than it may wait"):
        scheduler.submit(Waiting(nano, seconds=0.0).request)


def test_a_request_whose_deadline_passes_in_the_line_costs_no_batch(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    watched.door.clear()
    scheduler.submit(Waiting(nano, DOCUMENTS[:1], owner=1).request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    late = Waiting(nano, owner=2)
    scheduler.submit(late.request)
    late.request.deadline = time.monotonic()
    watched.door.set()
    with pytest.raises(TimeoutError):
        late.logits()
    assert all(row.cache_salt != 2 for batch in watched.batches for row in batch)


def test_a_long_document_lets_others_pass_and_gets_the_logit_that_it_gets_alone(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    long = Waiting(nano, [" ".join(f"word{n}" for n in range(600))], owner=1)
    assert 3 * 512 < long.request.cost < 2800
    watched.door.clear()
    scheduler.submit(long.request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    short = Waiting(nano, DOCUMENTS[:1], owner=2)
    scheduler.submit(short.request)
    watched.door.set()
    short.logits()
    long.logits()
    assert long.request.started < short.request.started <= short.request.ended < long.request.ended
    alone = nano.logits([(QUERY, " ".join(f"word{n}" for n in range(600)))])
    np.testing.assert_allclose(long.logits(), alone, atol=1e-4)


def test_after_a_long_document_of_any_length_the_next_request_is_admitted(nano: Reranker, scheduler: Scheduler) -> None:
    for owner, words in enumerate(range(500, 1600, 50), start=1):
        for document in ("word " * words, "a"):
            waiting = Waiting(nano, [document], owner=owner)
            scheduler.submit(waiting.request)
            waiting.logits()


def test_a_request_knows_which_share_of_it_has_begun(nano: Reranker, watched: Watch, scheduler: Scheduler) -> None:
    gone = Waiting(nano, [f"{document} {n}" for n in range(4) for document in DOCUMENTS])
    assert gone.request.begun_usage()[0] == 0
    watched.door.clear()
    scheduler.submit(gone.request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    scheduler.cancel(gone.request, TimeoutError("gone"))
    watched.door.set()
    rows, usage = gone.request.begun_usage()
    assert rows == len(watched.batches[0]) < 48
    assert usage.prompt_tokens == sum(len(row.ids) for row in watched.batches[0])
    whole = Waiting(nano)
    scheduler.submit(whole.request)
    whole.logits()
    rows, usage = whole.request.begun_usage()
    assert (rows, usage.computed_tokens) == (12, whole.request.computed_tokens)
    assert usage.prompt_tokens == sum(len(row.ids) for row in whole.request.rows)


def test_a_long_document_has_begun_step_by_step(nano: Reranker, watched: Watch, scheduler: Scheduler) -> None:
    long = Waiting(nano, [" ".join(f"word{n}" for n in range(600))], owner=1)
    watched.door.clear()
    scheduler.submit(long.request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    scheduler.cancel(long.request, TimeoutError("gone"))
    watched.door.set()
    [row] = long.request.rows
    rows, usage = long.request.begun_usage()
    assert rows == 1
    assert usage.prompt_tokens == pytest.approx(len(row.ids) * 512 / long.request.cost, rel=0.1)
    whole = Waiting(nano, [" ".join(f"word{n}" for n in range(600))], owner=1)
    scheduler.submit(whole.request)
    whole.logits()
    assert whole.request.begun_usage()[1].prompt_tokens == len(row.ids)


def test_a_row_that_fails_fails_its_own_request_alone(
    nano: Reranker, watched: Watch, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    watched.fails = lambda row: row.cache_salt == 66
    watched.door.clear()
    scheduler.submit(Waiting(nano, DOCUMENTS[:1], owner=9).request)
    assert watched.entered.acquire(timeout=PATIENCE_SECONDS)
    poisoned, healthy = Waiting(nano, DOCUMENTS[:2], owner=66), Waiting(nano, DOCUMENTS[:2], owner=2)
    scheduler.submit(poisoned.request)
    scheduler.submit(healthy.request)
    watched.door.set()
    assert np.isfinite(healthy.logits()).all()
    with pytest.raises(CheckpointError):
        poisoned.logits()
    assert not any(document in caplog.text for document in DOCUMENTS)


def test_batch_after_batch_that_fails_is_a_broken_model_until_one_succeeds(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    watched.fails = lambda _row: True
    for _ in range(3):
        failing = Waiting(nano, DOCUMENTS[:1])
        scheduler.submit(failing.request)
        with pytest.raises(CheckpointError):
            failing.logits()
    assert scheduler.stats().is_broken
    watched.fails = lambda _row: False
    healthy = Waiting(nano, DOCUMENTS[:1])
    scheduler.submit(healthy.request)
    healthy.logits()
    assert not scheduler.stats().is_broken


def test_closing_ends_every_request_and_then_nothing_is_taken(nano: Reranker, watched: Watch) -> None:
    scheduler = Scheduler(watched, batch_tokens=64, max_waiting_tokens=10_000)
    watched.door.clear()
    waiting = [Waiting(nano) for _ in range(3)]
    for each in waiting:
        scheduler.submit(each.request)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    for each in waiting:
        with pytest.raises(Overloaded):
            each.logits()
    watched.door.set()
    closing.join(PATIENCE_SECONDS)
    assert not closing.is_alive()
    with pytest.raises(Overloaded):
        scheduler.submit(Waiting(nano).request)


def test_a_small_request_is_not_refused_for_what_another_tenant_waits_for(
    nano: Reranker, watched: Watch, scheduler: Scheduler
) -> None:
    scheduler.max_waiting_tokens = 1_000_000
    first = Waiting(nano)
    scheduler.submit(first.request)
    first.logits()
    watched.door.clear()
    large = [f"{document} {number}" for number in range(40) for document in DOCUMENTS]
    scheduler.submit(Waiting(nano, large, owner=1).request)
    # So little time that all of it would not be computed, and enough for turns.
    needed = scheduler._throughput.seconds(scheduler.stats().waiting_tokens)
    small = Waiting(nano, DOCUMENTS[:1], owner=2, seconds=needed / 2)
    with pytest.raises(Overloaded):
        scheduler.submit(Waiting(nano, owner=1, seconds=needed / 2).request)
    scheduler.submit(small.request)
    scheduler.cancel(small.request, TimeoutError())
