"""Accounts: who is let in, what is written of it, and what happens when the store is away or the process is killed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.accounts import Accounts, AccountsHealth
from qwen3_reranker.serve.accounts.database import StoreError
from qwen3_reranker.serve.accounts.key_format import generate
from qwen3_reranker.serve.accounts.key_records import KeyLimits, KeyRecord, UsageRow
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.accounts.tables import USAGE
from qwen3_reranker.serve.accounts.ttl_cache import TTLCache
from qwen3_reranker.serve.problems import Problem
from testing.patience import PATIENCE_SECONDS, until
from testing.postgres import CutLine, Postgres
from tests.serve.accounts.conftest import Clock, Make, Open, problem_of, refused, row_of
from tests.serve.accounts.test_store import agreeing

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def spend(accounts: Accounts, key: KeyRecord, cost: int, tokens: int = 10) -> None:
    with accounts.enter(key) as reservation:
        reservation.charge(tokens, cost)
        reservation.settle(row_of(key, cost=cost, tokens=tokens))


def test_memory_answers_once_the_store_was_asked(address: str, open_accounts: Open, clock: Clock) -> None:
    store = Store(address)
    text, record = store.create_key("a")
    accounts = open_accounts(address)
    assert accounts.cached(text.encode()) is None
    assert accounts.find(text.encode()) == record
    assert accounts.cached(text.encode()) == record
    clock.now += 4.9
    assert accounts.cached(text.encode()) == record
    clock.now += 0.2
    assert accounts.cached(text.encode()) is None
    store.close()


def test_keys_that_are_not_valid_all_get_the_same_answer(address: str, open_accounts: Open, clock: Clock) -> None:
    store = Store(address)
    now = int(clock.now)
    expired, _ = store.create_key("expired", expires=now)
    revoked, record = store.create_key("revoked")
    store.revoke(record.id)
    accounts = open_accounts(address)
    unknown = generate()
    mistyped = unknown[:-1] + ("a" if unknown[-1] != "a" else "b")
    answers = set()
    for presented in (b"", b"\xff", mistyped.encode(), unknown.encode(), expired.encode(), revoked.encode()):
        for ask in (accounts.find, accounts.find, accounts.cached):
            problem = refused(401, ask, presented)
            answers.add((problem.status, problem.kind, problem.code, problem.message, str(problem.headers)))
    assert len(answers) == 1
    assert answers.pop()[0] == 401
    store.close()


def test_a_key_expires_while_it_is_remembered(tmp_path: Path, open_accounts: Open, clock: Clock) -> None:
    accounts = open_accounts(str(tmp_path / "keys.db"), cache_seconds=1e6)
    text, _ = accounts.store.create_key("a", expires=int(clock.now) + 10)
    accounts.find(text.encode())
    clock.now += 9
    assert accounts.cached(text.encode())
    clock.now += 1
    refused(401, accounts.cached, text.encode())


def test_a_revocation_takes_effect_within_the_seconds_that_keys_are_remembered(
    address: str, open_accounts: Open, clock: Clock
) -> None:
    store = Store(address)
    text, record = store.create_key("a")
    accounts = open_accounts(address)
    accounts.find(text.encode())
    store.revoke(record.id)
    clock.now += 5
    assert accounts.cached(text.encode()) is None
    refused(401, accounts.find, text.encode())
    store.close()


def test_a_flood_of_bad_keys_is_answered_from_memory_that_stays_small(postgres: Postgres, open_accounts: Open) -> None:
    address = postgres.create("flood")
    accounts = open_accounts(address)
    bad = [generate().encode() for _ in range(50)]
    for each in bad:
        refused(401, accounts.find, each)
    postgres.stop()
    try:
        # Nobody asks a store that is not there.
        for each in (*bad, b"", b"x" * 57, *bad):
            refused(401, accounts.find, each)
        refused(503, accounts.find, generate().encode())
    finally:
        postgres.start()


def test_a_store_that_is_away_is_503_and_never_401_or_a_free_pass(
    postgres: Postgres, open_accounts: Open, clock: Clock
) -> None:
    address = postgres.create("away")
    accounts = open_accounts(address)
    text, key = accounts.store.create_key("a", credit=1000)
    accounts.find(text.encode())
    spend(accounts, key, 10)
    postgres.stop()
    try:
        assert accounts.cached(text.encode()) == key
        clock.now += 6
        for presented in (text.encode(), generate().encode()):
            problem = refused(503, accounts.find, presented)
            assert problem.code == "accounts_unavailable"
            assert problem.headers["retry-after"]
        refused(503, accounts.key_facts, key.id)
        refused(503, accounts.usage, key.id, 0, 3600, 3600)
        with pytest.raises(StoreError):
            accounts.flush()
        spend(accounts, key, 20)
    finally:
        postgres.start()
    clock.now += 1
    found = accounts.find(text.encode())
    accounts.flush()
    assert agreeing(accounts.store, found) == (2, 30)


def test_requests_are_refused_once_too_much_usage_waits_or_waits_too_long(
    postgres: Postgres, open_accounts: Open, clock: Clock
) -> None:
    address = postgres.create("waiting")
    accounts = open_accounts(address, max_waiting_rows=5, max_waiting_seconds=30)
    _, key = accounts.store.create_key("a")
    running = accounts.enter(key)
    for _ in range(5):
        spend(accounts, key, 1)
    postgres.stop()
    try:
        assert refused(503, accounts.enter, key).code == "accounts_unavailable"
        running.settle(row_of(key, cost=1))  # who was let in is written down all the same
    finally:
        postgres.start()
    accounts.flush()
    spend(accounts, key, 1)
    clock.now += 30
    accounts.enter(key).release()
    clock.now += 0.1
    refused(503, accounts.enter, key)
    accounts.flush()
    accounts.enter(key).release()
    assert agreeing(accounts.store, key) == (7, 7)


def test_a_writer_that_failed_writes_on_by_itself_when_the_store_is_back(postgres: Postgres) -> None:
    address = postgres.create("again")
    accounts = Accounts(address, create=True, flush_interval=0.05)
    _, key = accounts.store.create_key("a")
    spend(accounts, key, 1)
    accounts.flush()
    postgres.stop()
    try:
        for _ in range(3):
            spend(accounts, key, 1)
        until(lambda: accounts._writer._failing)
    finally:
        postgres.start()
    until(lambda: not accounts._writer._failing)
    assert agreeing(accounts.store, key) == (4, 4)
    accounts.close()


def test_accounts_are_opened_only_where_keys_were_made(make_address: Make) -> None:
    address = make_address()
    with pytest.raises(InputError, match=r"no keys at .*`qwen3-reranker keys create NAME --keys "):
        Accounts(address)
    Store(address).close()
    Accounts(address).close()


def test_a_deleted_file_is_noticed_without_a_request_and_said_once_and_no_usage_goes_into_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, aside = tmp_path / "keys.db", tmp_path / "aside"
    aside.mkdir()
    accounts = Accounts(str(place), create=True, flush_interval=0.05, cache_seconds=0.2)
    text, key = accounts.store.create_key("a", credit=100)
    spend(accounts, key, 1)
    accounts.flush()
    assert accounts.health() == AccountsHealth(is_up=True, oldest_unwritten_seconds=0.0)
    for file in tmp_path.glob("keys.db*"):
        file.rename(aside / file.name)
    until(lambda: not accounts.health().is_up)
    spend(accounts, key, 2)
    until(lambda: problem_of(accounts.find, text.encode()) is not None)
    assert refused(503, accounts.find, text.encode()).code == "accounts_unavailable"
    until(lambda: accounts.health().oldest_unwritten_seconds > 0.1)
    assert not place.exists()
    for file in aside.iterdir():
        file.rename(tmp_path / file.name)
    until(lambda: accounts.health() == AccountsHealth(is_up=True, oldest_unwritten_seconds=0.0))
    assert agreeing(accounts.store, key) == (2, 3)
    until(lambda: problem_of(accounts.find, text.encode()) is None)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "the file was deleted or moved" in said[0]
    assert said[1] == "the store answers again"
    accounts.close()


def test_another_file_of_keys_is_used_once_its_tables_are_right(tmp_path: Path, open_accounts: Open) -> None:
    place, copy = tmp_path / "keys.db", tmp_path / "copy.db"
    accounts = open_accounts(str(place))
    text, key = accounts.store.create_key("a")
    with sqlite3.connect(place) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    spend(accounts, key, 5)
    (tmp_path / "wrong.db").write_bytes(b"")
    (tmp_path / "wrong.db").replace(place)
    with pytest.raises(StoreError, match="beside the -wal of the one before"):
        accounts.flush()
    for ending in ("-wal", "-shm"):
        (tmp_path / f"keys.db{ending}").unlink()
    for wrong in (b"", b"not a database " * 1000):
        (tmp_path / "wrong.db").write_bytes(wrong)
        (tmp_path / "wrong.db").replace(place)
        with pytest.raises(StoreError, match="cannot be used"):
            accounts.flush()
    Store(str(tmp_path / "peppered.db"), b"pepper").close()
    (tmp_path / "peppered.db").replace(place)
    with pytest.raises(StoreError, match=r"another file is there: .* another pepper"):
        accounts.flush()
    copy.replace(place)
    accounts.flush()
    assert agreeing(accounts.store, key) == (1, 5)
    other = Store(str(place), create=False)
    assert other.find(other.digest(text.encode())) == other.key(key.id)
    assert agreeing(other, key) == (1, 5)
    other.close()


def test_a_file_replaced_during_a_write_gets_the_usage_once_more(tmp_path: Path) -> None:
    place, copy = tmp_path / "keys.db", tmp_path / "copy.db"
    store = Store(str(place))
    _, key = store.create_key("a")
    store.close()
    shutil.copy(place, copy)
    store = Store(str(place))
    rows = [row_of(key, cost=7)]

    def write_and_replace() -> None:
        with store._database.writing() as connection:
            connection.execute(select(USAGE.c.id))
            for file in tmp_path.glob("keys.db-*"):
                file.unlink()
            copy.replace(place)

    with pytest.raises(StoreError, match="replaced while it was written"):
        write_and_replace()
    store.write_usage(rows)
    assert agreeing(store, key) == (1, 7)
    store.close()


def test_usage_and_credit_agree_after_every_flush(address: str, open_accounts: Open) -> None:
    accounts = open_accounts(address)
    _, key = accounts.store.create_key("a", credit=1_000_000)
    total = 0
    for cost in (1, 5, 700):
        for _ in range(cost % 7 + 1):
            spend(accounts, key, cost)
            total += cost
        accounts.flush()
        assert agreeing(accounts.store, key)[1] == total


def test_a_cut_line_at_the_commit_neither_loses_nor_doubles_nor_overspends(postgres: Postgres) -> None:
    postgres.create("cut_accounts")
    line = CutLine(postgres)
    accounts = Accounts(postgres.url("cut_accounts", line.folder), create=True, flush_interval=3600)
    _, key = accounts.store.create_key("a", credit=100)
    for cut in ("after", "before", "after"):
        spend(accounts, key, 30)
        line.cut_at = cut
        with pytest.raises(StoreError):
            accounts.flush()
    spent = 90
    with accounts.enter(key) as reservation:
        refused(402, reservation.charge, 1, 101 - spent)
        reservation.charge(1, 100 - spent)
    accounts.flush()
    assert agreeing(accounts.store, key) == (3, 90)
    with accounts.enter(key) as reservation:
        refused(402, reservation.charge, 1, 101 - spent)
        reservation.charge(1, 100 - spent)
    accounts.close()
    line.close()


def test_closing_writes_all_that_is_left_and_says_what_it_could_not(postgres: Postgres) -> None:
    address = postgres.create("closing")
    accounts = Accounts(address, create=True, flush_interval=3600)
    _, key = accounts.store.create_key("a")
    for _ in range(2500):
        spend(accounts, key, 1)
    accounts.close()
    store = Store(address)
    assert agreeing(store, key) == (2500, 2500)
    store.close()
    accounts = Accounts(address, flush_interval=3600)
    for _ in range(3):
        spend(accounts, key, 1)
    postgres.stop()
    try:
        with pytest.raises(StoreError, match="3 rows of usage are lost: "):
            accounts.close()
    finally:
        postgres.start()


@pytest.mark.slow
def test_a_store_that_says_nothing_holds_up_no_more_than_a_few_who_ask_it(postgres: Postgres) -> None:
    postgres.create("silent")
    line = CutLine(postgres)
    accounts = Accounts(postgres.url("silent", line.folder), create=True)
    text, _ = accounts.store.create_key("a")
    line.open.clear()
    answers: list[Problem | None] = []
    threads = [
        threading.Thread(target=lambda: answers.append(problem_of(accounts.find, text.encode())), daemon=True)
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) >= 8)
    assert {problem.status for problem in answers if problem} == {503}
    line.open.set()
    for thread in threads:
        thread.join()
    accounts.close()
    line.close()


def test_facts_of_a_key_are_summed_over_day_week_and_month_in_utc(
    address: str, open_accounts: Open, clock: Clock
) -> None:
    clock.now = 1_800_000_000  # Friday, 2027-01-15 08:00 UTC
    accounts = open_accounts(address)
    _, key = accounts.store.create_key("a", credit=10_000)
    days = {0: 1, 4: 20, 5: 300, 14: 1000, 15: 4000}  # days ago: cost; Monday is 4 days ago, the first 14
    accounts.store.write_usage([row_of(key, cost=cost, time=clock.now - ago * 86_400) for ago, cost in days.items()])
    facts = accounts.key_facts(key.id)
    assert facts
    assert (facts.today, facts.this_week, facts.this_month) == (1, 21, 1321)
    assert (facts.key.credit_used, facts.key.credit_left) == (5321, 4679)
    by_day = accounts.usage(key.id, int(clock.now) - 20 * 86_400, int(clock.now) + 86_400, 86_400)
    assert [each.cost for each in by_day] == [4000, 1000, 300, 20, 1]


def test_scopes_and_models_are_403() -> None:
    key = KeyRecord("key_a", "a", "q", 0, scopes=("rerank",), models=("Qwen3-Reranker-0.6B",))
    key.require_scope("rerank")
    key.require_model("qwen3-reranker-0.6b")
    for call, name in ((key.require_scope, "metrics"), (key.require_model, "qwen3-reranker-4b")):
        problem = refused(403, call, name)
        assert problem.kind == "permission_error"
        assert "4b" not in problem.message
    replace(key, models=None).require_model("anything")


WORKER = """
import json, sys, time
from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.accounts import Accounts, AccountsHealth
from qwen3_reranker.serve.accounts.ttl_cache import TTLCache
from qwen3_reranker.serve.problems import Problem
from tests.serve.accounts.conftest import row_of

address, text, cost, interval = sys.argv[1:]
accounts = Accounts(address, flush_interval=float(interval), cache_seconds=0.2)
answered = refused = 0
print("ready", flush=True)
sys.stdin.readline()
while not refused:
    key = accounts.cached(text.encode()) or accounts.find(text.encode())
    try:
        with accounts.enter(key) as reservation:
            reservation.charge(10, int(cost))
            row = row_of(key, cost=int(cost))
            print(json.dumps([row.id]), flush=True)
            reservation.settle(row)
            answered += 1
        time.sleep(0.001)
    except Problem as problem:
        refused = problem.status
accounts.close()
print(json.dumps({"answered": answered, "refused": refused}), flush=True)
"""


def start_worker(address: str, text: str, cost: int, interval: float) -> subprocess.Popen[str]:
    """A process that makes requests for ever, or until one is refused."""
    arguments = [address, text, str(cost), str(interval)]
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


@pytest.mark.slow
def test_a_killed_process_loses_only_its_last_moments_and_leaves_a_store_that_agrees(address: str) -> None:
    store = Store(address)
    text, key = store.create_key("a", credit=10**15)
    settled: list[str] = []
    with start_worker(address, text, 3, 0.2) as process:
        assert process.stdout
        for line in process.stdout:
            settled.append(json.loads(line)[0])
            if len(settled) == 300:
                # All but the request that may be under way are written while the process lives.
                until(lambda: len(stored_ids(store)) >= 299)
                process.kill()
    assert process.returncode == -signal.SIGKILL
    rows, used = agreeing(store, key)
    assert used == 3 * rows
    kept = stored_ids(store)
    assert kept == set(settled[: len(kept)]), "rows are written in the order of their requests"
    assert len(kept) >= 299
    store.close()


def stored_ids(store: Store) -> set[str]:
    with store._database.reading() as connection:
        return set(connection.execute(select(USAGE.c.id)).scalars())


@pytest.mark.slow
def test_two_processes_share_the_credit_of_one_key(postgres: Postgres) -> None:
    address = postgres.create("shared")
    store = Store(address)
    text, key = store.create_key("a", credit=100_000)
    processes = [start_worker(address, text, 100, 0.05) for _ in range(2)]
    results = []
    for process in processes:
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        results.append(json.loads(out.splitlines()[-1]))
    rows, used = agreeing(store, key)
    assert rows == sum(result["answered"] for result in results)
    assert {result["refused"] for result in results} == {402}
    assert all(result["answered"] for result in results)
    assert used > 100_000 - 100 * len(processes)
    store.close()


def test_servers_that_share_a_key_overspend_by_no_more_than_they_let_through_before_they_look_again(
    address: str, open_accounts: Open, clock: Clock
) -> None:
    here, there = open_accounts(address), open_accounts(address)
    text, _ = here.store.create_key("a", credit=100)
    presented = text.encode()
    for accounts in (here, there):
        spend(accounts, accounts.find(presented), 50)
    # Neither has heard of the other, and each holds to what it knows.
    for accounts in (here, there):
        with accounts.enter(accounts.find(presented)) as reservation:
            refused(402, reservation.charge, 1, 51)
    here.flush()
    there.flush()
    clock.now += 5
    for accounts in (here, there):
        with accounts.enter(accounts.find(presented)) as reservation:
            refused(402, reservation.charge, 1, 1)


def test_many_threads_of_one_server_never_overspend_while_usage_is_written(address: str) -> None:
    accounts = Accounts(address, create=True, flush_interval=0.01, cache_seconds=0.01)
    text, key = accounts.store.create_key("a", credit=30_000)
    answered = []
    reasons = set()
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        while True:
            record = accounts.cached(text.encode()) or accounts.find(text.encode())
            try:
                with accounts.enter(record) as reservation:
                    reservation.charge(1, 70)
                    reservation.settle(row_of(record, cost=70))
                    answered.append(70)
            except Problem as problem:
                reasons.add(problem.status)
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accounts.flush()
    assert reasons == {402}
    assert sum(answered) == 30_000 // 70 * 70
    assert agreeing(accounts.store, key) == (30_000 // 70, 30_000 // 70 * 70)
    accounts.close()


def test_threads_never_overspend_a_budget_while_months_change_and_it_begins_anew_each_month(
    address: str, clock: Clock
) -> None:
    accounts = Accounts(address, create=True, flush_interval=0.01, cache_seconds=0.01, clock=clock)
    text, key = accounts.store.create_key("a", budget=21_000, credit=50_000)
    months = 4
    answered: list[UsageRow] = []
    reasons: set[str] = set()
    start = threading.Barrier(24 + 1)

    def spend_all() -> None:
        record = accounts.cached(text.encode()) or accounts.find(text.encode())
        while True:
            try:
                with accounts.enter(record) as reservation:
                    reservation.charge(1, 70)
                    row = row_of(record, cost=70, time=clock())
                    reservation.settle(row)
                    answered.append(row)
            except Problem as problem:
                reasons.add(problem.code)
                return
            record = accounts.cached(text.encode()) or accounts.find(text.encode())

    def work() -> None:
        for _ in range(months):
            start.wait()
            spend_all()
            start.wait()

    threads = [threading.Thread(target=work) for _ in range(24)]
    for thread in threads:
        thread.start()
    spent = []
    for _ in range(months):
        before = len(answered)
        start.wait()
        start.wait()
        spent.append(70 * (len(answered) - before))
        clock.now += 31 * 86_400
    for thread in threads:
        thread.join()
    assert spent == [21_000, 21_000, 50_000 // 70 * 70 - 42_000, 0]
    assert reasons == {"budget_exceeded", "insufficient_quota"}
    accounts.close()
    store = Store(address)
    assert agreeing(store, key) == (50_000 // 70, 50_000 // 70 * 70)
    store.close()


def test_a_budget_holds_across_restarts_and_says_when_it_begins_anew(
    address: str, open_accounts: Open, clock: Clock
) -> None:
    accounts = open_accounts(address)  # on 2027-01-15
    text, key = accounts.store.create_key("a", budget=100)
    spend(accounts, accounts.find(text.encode()), 60)
    accounts.close()
    accounts = open_accounts(address)
    record = accounts.find(text.encode())
    assert record.budget_left == 40
    with accounts.enter(record) as reservation:
        problem = refused(402, reservation.charge, 1, 41)
        assert (problem.code, problem.kind) == ("budget_exceeded", "insufficient_quota")
        assert problem.message.endswith("it resets on 2027-02-01 at 00:00 UTC")
        reservation.charge(1, 40)
        # It began in January and ends in February, so it counts there.
        clock.now = 1_801_440_000 + 5
        late = accounts.enter(record)
        refused(402, late.charge, 1, 61)
        reservation.settle(row_of(key, cost=40, time=clock.now))
        refused(402, late.charge, 1, 61)
        late.charge(1, 60)
        late.release()
    accounts.flush()
    assert accounts.store.key(key.id).budget_left == 60  # type: ignore[union-attr]


def test_changes_of_a_key_hold_here_at_once_and_elsewhere_within_the_seconds_that_keys_are_remembered(
    address: str, open_accounts: Open, clock: Clock
) -> None:
    here, there = open_accounts(address), open_accounts(address)
    text, key = here.administer(lambda store: store.create_key("a", limits=KeyLimits(10, None, 5)))
    presented = text.encode()
    for accounts in (here, there):
        for _ in range(3):
            accounts.enter(accounts.find(presented)).release()
    clock.now += 1
    values = {"requests_per_minute": 5, "concurrency": 1, "budget": 10}
    here.administer(lambda store: store.change_key(key.id, values))
    assert here.cached(presented) is None

    def is_changed(accounts: Accounts) -> bool:
        record = accounts.find(presented)
        with accounts.enter(record) as reservation:
            too_many = problem_of(lambda: accounts.enter(record).release()) is not None
            return too_many and problem_of(reservation.charge, 1, 11) is not None

    assert is_changed(here)
    assert not is_changed(there)
    # Three of five requests were used before the change, and one since.
    here.enter(here.find(presented)).release()
    assert refused(429, here.enter, here.find(presented)).headers["x-ratelimit-limit-requests"] == "5"
    clock.now += 5
    assert is_changed(there)
    here.administer(lambda store: store.change_key(key.id, {"requests_per_minute": None}))
    clock.now += 5
    for accounts in (here, there):
        for _ in range(20):
            accounts.enter(accounts.find(presented)).release()
    second, _ = here.administer(lambda store: store.rotate(key.id, 3))
    assert here.find(second.encode()).id == there.find(second.encode()).id == key.id
    assert [here.find(presented).expires, there.cached(presented).expires] == [int(clock.now) + 3, None]  # type: ignore[union-attr]
    clock.now += 3
    refused(401, here.find, presented)
    here.administer(lambda store: store.revoke(key.id))
    refused(401, here.find, second.encode())
    clock.now += 5
    refused(401, there.find, second.encode())


def test_a_key_that_is_being_read_while_it_changes_is_read_again(clock: Clock) -> None:
    cache: TTLCache[int] = TTLCache(5, 10, clock)
    since = clock.now
    clock.now += 0.1
    cache.clear()
    cache.put("a", 1, since)
    assert cache.get("a") is None
    clock.now += 0.1
    cache.put("a", 2, clock.now)
    assert cache.get("a") == 2


def test_limits_are_the_keys_own(tmp_path: Path, open_accounts: Open) -> None:
    accounts = open_accounts(str(tmp_path / "keys.db"))
    _, narrow = accounts.store.create_key("narrow", limits=KeyLimits(1, 10, 1))
    _, wide = accounts.store.create_key("wide")
    accounts.enter(narrow)
    refused(429, accounts.enter, narrow)
    for _ in range(10):
        accounts.enter(wide).charge(10**6, 0)
