"""Simulated replicas batch as the Scheduler does, wait as queueing theory says, and know what the engine knows."""

import threading
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.scale.simulation import Rates, Request, Simulation, simulate
from qwen3_reranker import Reranker
from qwen3_reranker.records import Row
from qwen3_reranker.serve.scheduler import ScheduledRequest, Scheduler
from testing.patience import PATIENCE_SECONDS
from testing.rows import NO_RECEIPT

PREFIX, BATCH_TOKENS = 5, 300
SECOND = Rates(1.0, 0.0)


class Clock:
    """A model in simulated time: a batch and a step of a long row take a second each, in which requests may arrive."""

    def __init__(self, arrivals: Sequence[tuple[float, ScheduledRequest]]) -> None:
        self.batches: list[list[int]] = []
        self.scheduler: Scheduler
        self._arrivals = list(arrivals)
        self._now = self._rows_waiting = 0.0

    def submit_due(self) -> None:
        """Submit what has arrived; if nothing else is left to compute, let the time pass until something has."""
        if self._arrivals and not self._rows_waiting:
            self._now = max(self._now, self._arrivals[0][0])
        while self._arrivals and self._arrivals[0][0] <= self._now:
            _, request = self._arrivals.pop(0)
            self._rows_waiting += len(request.rows)
            self.scheduler.submit(request)

    def judge(self, rows: Sequence[Row]) -> Generator[None, None, NDArray[np.float32]]:
        """Logits that are no logits."""
        steps = -(-(len(rows[0].ids) - PREFIX) // BATCH_TOKENS) if len(rows) == 1 else 1
        for step in range(steps):
            self.batches.append([id(row) for row in rows])
            self._now += 1
            self._rows_waiting -= len(rows) if step == steps - 1 else 0
            self.submit_due()
            if step < steps - 1:
                yield
        return np.zeros(len(rows), dtype=np.float32)


def rows_of(tenant: int, lengths: Sequence[int], seed: int) -> list[Row]:
    """Rows of one query and documents of so many tokens, of which no two share a beginning."""
    random = np.random.default_rng(seed)
    head = random.integers(0, 50, 10)
    made = []
    for number, length in enumerate(lengths):
        ids = np.concatenate((np.arange(PREFIX), head, [1000 + number], random.integers(0, 50, length)))
        made.append(Row(ids.astype(np.int32), (PREFIX, PREFIX + 10), NO_RECEIPT, tenant))
    return made


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 3).map(lambda gap: round(gap, 2) + 0.001),
            st.integers(1, 3),
            st.lists(st.integers(1, 400), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_batches_are_those_of_the_scheduler_for_the_same_arrivals(
    described: list[tuple[float, int, list[int]]],
) -> None:
    ended = threading.Semaphore(0)
    arrivals, simulated, names, due = [], [], {}, 0.0
    for number, (gap, tenant, lengths) in enumerate(described):
        due += gap
        rows = rows_of(tenant, lengths, number)
        scheduled = ScheduledRequest(rows, deadline=float("inf"), on_end=ended.release)
        arrivals.append((due, scheduled))
        simulated.append(Request.of_rows(due, rows, scheduled.added_R, scheduled.order))
        names[id(simulated[-1])] = [id(rows[index]) for index in scheduled.order]
    clock = Clock(arrivals)
    clock.scheduler = Scheduler(clock, batch_tokens=BATCH_TOKENS, max_waiting_tokens=10**9)
    try:
        clock.submit_due()
        for _ in arrivals:
            assert ended.acquire(timeout=PATIENCE_SECONDS)
    finally:
        clock.scheduler.close()
    _, simulation = simulate(simulated, SECOND, batch_tokens=BATCH_TOKENS)
    [replica] = simulation.replicas
    assert [[names[id(row.request)][row.index] for row in batch] for batch in replica.batches] == clock.batches


def poisson(rate: float, count: int, tokens: int = 100, seed: int = 0) -> list[Request]:
    """Requests of one document, each of its own batch."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, count)
    return [Request.of(float(at), [tokens], [(number, 0)], 0) for number, at in enumerate(np.cumsum(gaps))]


def mean_latency(requests: Sequence[Request]) -> float:
    return sum(request.ended - request.arrived for request in requests) / len(requests)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.85])
def test_one_replica_with_equal_requests_waits_as_m_d_1_says(load: float) -> None:
    requests = poisson(load, 10_000)
    outcome, _ = simulate(requests, SECOND, batch_tokens=100)
    assert mean_latency(requests) == pytest.approx(1 + load / (2 * (1 - load)), rel=0.08)
    assert outcome.utilisation == pytest.approx(load, rel=0.02)


def test_replicas_that_are_chosen_by_chance_are_as_many_queues_of_their_own() -> None:
    requests = poisson(4 * 0.7, 12_000)
    simulate(requests, SECOND, batch_tokens=100, replicas=4, routing="random")
    assert mean_latency(requests) == pytest.approx(1 + 0.7 / (2 * 0.3), rel=0.08)


def test_the_least_busy_replica_is_better_than_turns_and_turns_are_better_than_chance() -> None:
    means = []
    for routing in ("least", "turns", "random"):
        sizes = np.random.default_rng(1).exponential(100, 4000).astype(int) + 1
        requests = [
            Request.of(each.arrived, [int(size)], each.heads, 0)
            for each, size in zip(poisson(4 * 0.8, len(sizes)), sizes, strict=True)
        ]
        simulate(requests, Rates(0.0, 0.01), batch_tokens=10_000, replicas=4, routing=routing)
        means.append(mean_latency(requests))
    assert means == sorted(means)
    assert means[0] < 0.7 * means[2]


def test_what_arrivals_find_inside_is_their_rate_times_their_latency() -> None:
    found = []

    class Counting(Simulation):
        def _arrive(self, request: Request) -> None:
            found.append(self.replicas[0].in_flight)
            super()._arrive(request)

    requests = poisson(3.0, 8000)
    Counting(Rates(0.2, 0.001), batch_tokens=400).run(requests)
    rate = len(requests) / (requests[-1].arrived - requests[0].arrived)
    assert np.mean(found) == pytest.approx(rate * mean_latency(requests), rel=0.05)


def test_work_of_the_front_delays_the_batch_beside_it_and_takes_longer_there() -> None:
    rates = Rates(10.0, 0.0, request=1.0, contention=0.5, slowdown=3.0)
    requests = [replace(each, arrived=at) for each, at in zip(poisson(1, 2), (0.0, 5.0), strict=True)]
    simulate(requests, rates, batch_tokens=100)
    # The first batch runs from 1 to 11, and half of the second request's second longer.
    assert [request.ended for request in requests] == [11.5, 21.5]
    late = [replace(each, arrived=at) for each, at in zip(poisson(1, 2), (0.0, 20.0), strict=True)]
    simulate(late, rates, batch_tokens=100)
    assert [request.ended for request in late] == [11.0, 31.0]


def test_a_replica_computes_as_many_tokens_as_the_engine_with_its_prefix_cache() -> None:
    random = np.random.default_rng(3)
    queries = [f"question {number} about the rest" for number in random.zipf(1.3, 60).clip(max=40)]
    kept = 120
    with Reranker("nano", prefix_cache_tokens=kept + 38) as nano:
        nano.rank("warm up", ["one document"])
        requests, computed = [], 0
        for number, query in enumerate(["warm up", *queries]):
            documents = [f"{'abcdefgh'[row]} {number} is a document" for row in range(4)]
            rows = nano.rows([query] * 4, documents)
            scheduled = ScheduledRequest(rows, deadline=float("inf"), on_end=lambda: None)
            requests.append(Request.of_rows(2.0 * number, rows, scheduled.added_R, scheduled.order))
            computed += nano.rank(query, documents).usage.computed_tokens if number else 0
    _, simulation = simulate(requests, SECOND, cache_tokens=kept)
    [replica] = simulation.replicas
    first = sum(row.tokens for row in replica.batches[0])
    assert replica.computed_tokens - first == pytest.approx(computed, rel=0.01)
    assert replica.computed_tokens < replica.scheduled_tokens
