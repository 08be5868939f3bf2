"""Fresh databases of both kinds, a clock that tests turn, and accounts on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.database import StoreError
from qwen3_reranker.serve.accounts.key_records import KeyRecord, UsageRow
from qwen3_reranker.serve.problems import Problem
from testing.postgres import Postgres, program, running

_NUMBERS = count()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server."""
    if program("postgres") is None:
        pytest.skip("no Postgres on this machine")
    with running() as server:
        yield server


Make = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgres"])
def make_address(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Gives the address of a database that holds nothing, another one each time."""
    if request.param == "sqlite":
        return lambda: str(tmp_path / f"keys_{next(_NUMBERS)}.db")
    server: Postgres = request.getfixturevalue("postgres")
    return lambda: server.create(f"test_{next(_NUMBERS)}")


@pytest.fixture
def address(make_address: Make) -> str:
    """The address of a database that holds nothing."""
    return make_address()


Open = Callable[..., Accounts]


@pytest.fixture
def open_accounts(clock: Clock) -> Iterator[Open]:
    """Open accounts on the test's clock, whose writer waits until `flush`; they are closed in the end."""
    opened: list[Accounts] = []

    def open_them(address: str, **options: Any) -> Accounts:
        accounts = Accounts(
            address, create=True, **{"flush_interval": 3600, "clock": clock, "monotonic": clock, **options}
        )
        opened.append(accounts)
        return accounts

    yield open_them
    for accounts in opened:
        with suppress(StoreError):
            accounts.close()


def row_of(
    key: KeyRecord, *, cost: int = 0, tokens: int = 10, model: str = "nano", time: float = 1_800_000_000
) -> UsageRow:
    """The usage of one request."""
    return UsageRow(
        time=int(time),
        key_id=key.id,
        model=model,
        route="/v1/rerank",
        request_id="req_1",
        documents=2,
        prompt_tokens=tokens,
        computed_tokens=tokens // 2,
        cost=cost,
        duration=0.25,
    )


def problem_of(call: Callable[..., object], *arguments: object) -> Problem | None:
    """The problem that a call ends in, or None."""
    try:
        call(*arguments)
    except Problem as problem:
        return problem
    return None


def refused(status: int, call: Callable[..., object], *arguments: object) -> Problem:
    """The problem that a call ends in, which has this status."""
    problem = problem_of(call, *arguments)
    assert problem is not None
    assert problem.status == status
    return problem
