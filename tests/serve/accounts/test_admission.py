"""Limits hold under any sequence of requests, credit is never overspent, and waiting as long as told is enough."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.serve.accounts.admission import Admission, Reservation
from qwen3_reranker.serve.accounts.key_records import Credit, KeyLimits, KeyRecord, UsageRow
from qwen3_reranker.serve.problems import Problem
from tests.serve.accounts.conftest import Clock, problem_of, refused, row_of


def key_with(*limits: int | None, credit: int | None = None, name: str = "key_a") -> KeyRecord:
    return KeyRecord(name, "a", "qr_live_x", 0, limits=KeyLimits(*limits), credit_granted=credit)


@dataclass
class Desk:
    """A key's requests, and a record of all that was let through."""

    key: KeyRecord
    clock: Clock = field(default_factory=Clock)
    settled: list[UsageRow] = field(default_factory=list)
    entered: list[float] = field(default_factory=list)
    charged: list[tuple[float, int]] = field(default_factory=list)
    running: list[tuple[Reservation, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(self.settled.append, self.clock)

    def request(self, tokens: int, cost: int) -> None:
        """Try a request, and keep it running if it is let through."""
        try:
            reservation = self.admission.enter(self.key)
            self.entered.append(self.clock.now)
        except Problem:
            return
        if problem_of(reservation.charge, tokens, cost):
            reservation.release()
            return
        self.charged.append((self.clock.now, tokens))
        self.running.append((reservation, cost))

    def end(self, answered: bool) -> None:
        if self.running:
            reservation, cost = self.running.pop(0)
            tokens = reservation._tokens
            if answered:
                reservation.settle(row_of(self.key, cost=cost, tokens=tokens))
            reservation.release()
            if not answered:
                self.charged.append((self.clock.now, -tokens))


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("request"), st.integers(0, 40), st.integers(0, 30)),
        st.tuples(st.just("pass"), st.floats(0, 90), st.just(0)),
        st.tuples(st.just("answered"), st.just(0), st.just(0)),
        st.tuples(st.just("failed"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(ACTIONS, st.integers(1, 10), st.integers(1, 100), st.integers(1, 4), st.integers(0, 200))
def test_no_sequence_of_requests_passes_a_limit(
    actions: list[tuple[str, float, int]], requests: int, tokens: int, concurrency: int, credit: int
) -> None:
    desk = Desk(key_with(requests, tokens, concurrency, credit=credit))
    for action, amount, cost in actions:
        if action == "request":
            desk.request(int(amount), cost)
        elif action == "pass":
            desk.clock.now += amount
        else:
            desk.end(action == "answered")
        assert len(desk.running) <= concurrency
        assert sum(row.cost for row in desk.settled) + sum(cost for _, cost in desk.running) <= credit
    end = desk.clock.now
    for place, begin in enumerate(desk.entered):
        assert len(desk.entered[place:]) <= requests * (1 + (end - begin) / 60) + 1e-6
    # What was given back may be taken again.
    for place, (begin, _) in enumerate(desk.charged):
        assert sum(count for _, count in desk.charged[place:]) <= tokens * (1 + (end - begin) / 60) + 1e-3


@given(st.integers(1, 1000), st.integers(1, 1000), st.lists(st.integers(1, 1000), max_size=8))
def test_who_waits_as_long_as_told_passes(limit: int, tokens: int, before: list[int]) -> None:
    desk = Desk(key_with(None, limit))
    for count in before:
        desk.request(count, 0)
    reservation = desk.admission.enter(desk.key)
    problem = problem_of(reservation.charge, tokens, 0)
    if tokens > limit:
        assert problem is not None
        assert problem.headers["x-should-retry"] == "false"
        assert "retry-after" not in problem.headers
    elif problem is not None:
        milliseconds = int(problem.headers["retry-after-ms"])
        assert int(problem.headers["retry-after"]) == max(1, math.ceil(milliseconds / 1000))
        desk.clock.now += milliseconds / 1000
        reservation.charge(tokens, 0)


def test_who_rests_for_long_has_no_more_than_a_minutes_worth() -> None:
    desk = Desk(key_with(2, 100))
    desk.admission.enter(desk.key).release()
    desk.clock.now += 3600
    for _ in range(2):
        with desk.admission.enter(desk.key) as reservation:
            reservation.charge(50, 0)
            reservation.settle(row_of(desk.key, tokens=50))
    refused(429, desk.admission.enter, desk.key)


def test_the_request_after_the_last_is_told_when_to_come_back_and_what_its_limits_are() -> None:
    desk = Desk(key_with(2, 100))
    for _ in range(2):
        desk.request(30, 0)
    problem = refused(429, desk.admission.enter, desk.key)
    assert (problem.kind, problem.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert problem.headers == {
        "retry-after": "30",
        "retry-after-ms": "30000",
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "40",
        "x-ratelimit-reset-tokens": "36s",
    }
    desk.clock.now += 35.5
    reservation = desk.admission.enter(desk.key)
    assert reservation.headers()["x-ratelimit-remaining-requests"] == "0"
    assert reservation.headers()["x-ratelimit-reset-tokens"] == "500ms"
    assert Desk(key_with()).admission.enter(key_with()).headers() == {}


def test_a_place_is_free_again_when_a_request_ends_however_it_ends() -> None:
    desk = Desk(key_with(None, None, 1))
    first = desk.admission.enter(desk.key)
    assert refused(429, desk.admission.enter, desk.key).headers["retry-after"] == "1"
    first.release()
    first.release()
    with desk.admission.enter(desk.key) as second:
        second.settle(row_of(desk.key))
    with pytest.raises(ZeroDivisionError), desk.admission.enter(desk.key):
        raise ZeroDivisionError
    third = desk.admission.enter(desk.key)
    refused(429, desk.admission.enter, desk.key)
    third.release()
    assert len(desk.settled) == 1


def test_a_request_that_fails_gives_back_tokens_and_credit_and_stays_counted() -> None:
    desk = Desk(key_with(10, 100, credit=50))
    with desk.admission.enter(desk.key) as reservation:
        reservation.charge(100, 50)
        other = desk.admission.enter(desk.key)
        refused(402, other.charge, 1, 1)
        refused(429, other.charge, 1, 0)
    other.charge(100, 50)
    other.settle(row_of(desk.key, cost=50, tokens=100))
    other.settle(row_of(desk.key, cost=50, tokens=100))
    assert len(desk.settled) == 1
    with desk.admission.enter(desk.key) as last:
        assert last.headers()["x-ratelimit-remaining-requests"] == "7"


def test_what_a_request_turns_out_to_take_is_what_it_is_charged() -> None:
    desk = Desk(key_with(None, 100, credit=50))
    with desk.admission.enter(desk.key) as reservation:
        reservation.charge(80, 40)
        reservation.settle(row_of(desk.key, cost=10, tokens=30))
    with desk.admission.enter(desk.key) as reservation:
        assert reservation.headers()["x-ratelimit-remaining-tokens"] == "70"
        refused(402, reservation.charge, 1, 41)
        reservation.charge(70, 40)


def test_without_credit_only_what_is_free_passes_and_nobody_is_told_to_try_again() -> None:
    desk = Desk(key_with(credit=0))
    with desk.admission.enter(desk.key) as reservation:
        reservation.charge(10**9, 0)
        problem = refused(402, reservation.charge, 1, 1)
    assert problem.code == "insufficient_quota"
    assert problem.headers == {"x-should-retry": "false"}
    with Desk(key_with(credit=None)).admission.enter(key_with()) as reservation:
        reservation.charge(10**9, 10**18)


def test_credit_stays_taken_from_settling_until_the_store_has_told_of_it() -> None:
    desk = Desk(key_with(credit=100))
    with desk.admission.enter(desk.key) as reservation:
        reservation.charge(1, 60)
        reservation.settle(row_of(desk.key, cost=60))
    rows = desk.settled

    def left(amount: int) -> None:
        with desk.admission.enter(desk.key) as probe:
            probe.charge(0, amount)
            refused(402, probe.charge, 0, 1)

    left(40)
    desk.admission.writing(rows)
    # A reading that may or may not hold what is being written changes nothing.
    desk.admission.refresh(KeyRecord("key_a", "a", "q", 0, credit_granted=100, credit_used=60))
    left(40)
    desk.admission.written(rows, {"key_a": Credit(100, 75)})
    left(25)
    # A reading from before that is overtaken by what is known.
    desk.admission.refresh(KeyRecord("key_a", "a", "q", 0, credit_granted=100, credit_used=0))
    left(25)
    desk.admission.refresh(KeyRecord("key_a", "a", "q", 0, credit_granted=200, credit_used=80))
    left(120)


def test_threads_cannot_overspend_together() -> None:
    key = key_with(None, None, 20, credit=1000)
    settled: list[UsageRow] = []
    admission = Admission(settled.append)
    most_running = 0
    running = 0
    counting = threading.Lock()
    start = threading.Barrier(32)

    def work() -> None:
        nonlocal most_running, running
        start.wait()
        for number in range(100):
            with suppress(Problem), admission.enter(key) as reservation:
                with counting:
                    running += 1
                    most_running = max(most_running, running)
                try:
                    reservation.charge(1, 7)
                    if number % 3:
                        reservation.settle(row_of(key, cost=7))
                finally:
                    with counting:
                        running -= 1

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(row.cost for row in settled) == 7 * (1000 // 7)
    assert most_running <= 20
    with admission.enter(key) as reservation:
        refused(402, reservation.charge, 1, 7)
        reservation.charge(1, 1000 - 7 * (1000 // 7))


def test_keys_that_rest_are_forgotten_and_those_that_owe_are_not() -> None:
    desk = Desk(key_with(credit=100))
    with desk.admission.enter(desk.key) as reservation:
        reservation.settle(row_of(desk.key, cost=100))
    busy = desk.admission.enter(key_with(None, None, 1, name="key_busy"))
    for number in range(20_000):
        desk.clock.now += 0.1
        desk.admission.enter(key_with(name=f"key_{number}")).release()
    assert len(desk.admission._states) <= 16_100
    with desk.admission.enter(desk.key) as reservation:
        refused(402, reservation.charge, 1, 1)
    refused(429, desk.admission.enter, busy.key)
