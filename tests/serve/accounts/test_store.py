"""The store holds hashes, keeps credit and usage in step, and is one thing for all who share it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, create_engine, func, select, text

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.database import StoreError
from qwen3_reranker.serve.accounts.key_format import digest, generate
from qwen3_reranker.serve.accounts.key_records import Credit, KeyLimits, KeyRecord, UsageRow
from qwen3_reranker.serve.accounts.store import KeyChangeError, Store
from qwen3_reranker.serve.accounts.tables import HOURS, KEYS, USAGE
from testing.patience import PATIENCE_SECONDS
from testing.postgres import CutLine, Postgres
from tests.serve.accounts.conftest import Make, row_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
HOUR, DAY = 3600, 86_400


def agreeing(store: Store, key: KeyRecord) -> tuple[int, int]:
    """How many rows a key has and what they cost, after seeing that keys, hours and rows say the same."""

    def of_key(what: Any, table: Table) -> Any:
        return select(func.coalesce(what, 0)).where(table.c.key_id == key.id).scalar_subquery()

    # One statement, as only that sees one moment.
    query = select(
        of_key(func.count(), USAGE),
        of_key(func.sum(USAGE.c.cost), USAGE),
        of_key(func.sum(HOURS.c.requests), HOURS),
        of_key(func.sum(HOURS.c.cost), HOURS),
        select(KEYS.c.credit_used).where(KEYS.c.id == key.id).scalar_subquery(),
    )
    with store._database.reading() as connection:
        rows, cost, hour_rows, hour_cost, used = map(int, connection.execute(query).one())
    assert (rows, cost) == (hour_rows, hour_cost)
    assert cost == used
    return rows, used


def refused_change(call: Callable[[], object]) -> str:
    """The code with which a change is refused."""
    with pytest.raises(KeyChangeError) as caught:
        call()
    return caught.value.code


def test_a_key_comes_back_as_it_was_made(address: str) -> None:
    store = Store(address, b"pepper")
    text, made = store.create_key(
        "the name ☂",
        scopes=["rerank", "metrics"],
        models=["qwen3-reranker-0.6b"],
        expires=2_000_000_000,
        limits=KeyLimits(60, 100_000, 4),
        credit=5_000_000_000,
    )
    assert store.find(store.digest(text.encode())) == made == store.key(made.id)
    assert made.shown == text[:16]
    assert (made.name, made.scopes, made.models) == ("the name ☂", ("rerank", "metrics"), ("qwen3-reranker-0.6b",))
    assert (made.limits, made.expires, made.credit_left) == (KeyLimits(60, 100_000, 4), 2_000_000_000, 5_000_000_000)
    _, plain = store.create_key("plain")
    assert (plain.scopes, plain.models, plain.limits) == (("rerank", "embeddings"), None, KeyLimits())
    assert (plain.credit_left, plain.expires, plain.revoked, plain.last_used) == (None, None, None, None)
    assert store.all_keys() == sorted([made, plain], key=lambda key: (key.created, key.id))
    assert store.find("0" * 64) is None
    store.close()


def test_no_key_is_in_the_files(tmp_path: Path) -> None:
    for name, pepper in (("plain", None), ("peppered", b"pepper")):
        store = Store(str(tmp_path / name), pepper)
        keys = [store.create_key(f"key {number}")[0].encode() for number in range(20)]
        store.close()
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"key 19" in kept
        assert not any(key[16:] in kept for key in keys)


def test_the_file_is_its_owners_alone_and_set_up_for_many_readers(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    store = Store(f"sqlite:///{path}")
    store.create_key("a")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    with store._database.reading() as connection:
        settings = [
            connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    assert settings == ["wal", 1, 5000]
    store.close()


def test_rows_written_twice_are_counted_once(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a", credit=100)
    rows = [row_of(key, cost=7) for _ in range(3)]
    assert store.write_usage(rows[:2]) == {key.id: Credit(100, 14)}
    assert store.write_usage(rows) == {key.id: Credit(100, 21)}
    assert store.write_usage([*rows, *rows]) == {key.id: Credit(100, 21)}
    assert agreeing(store, key) == (3, 21)
    assert store.all_keys()[0].last_used == rows[0].time
    store.close()


def test_more_rows_than_one_statement_takes_are_written_together(address: str) -> None:
    store = Store(address)
    keys = [store.create_key(f"key {number}")[1] for number in range(5)]
    rows = [row_of(keys[number % 5], cost=number, time=number * 60) for number in range(5000)]
    credits = store.write_usage(rows)
    assert {key: credit.used for key, credit in credits.items()} == {
        key.id: sum(range(place, 5000, 5)) for place, key in enumerate(keys)
    }
    assert all(agreeing(store, key)[0] == 1000 for key in keys)
    store.close()


def test_texts_that_a_database_refuses_do_not_keep_rows_from_being_written(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a")
    strange = [row_of(key, model=model) for model in ("a\0b", "a\ud800b", "x" * 5000, "模型", "")]
    store.write_usage(strange)
    assert agreeing(store, key)[0] == len(strange)
    assert "模型" in {each.model for each in store.usage(key.id, 0, 2**40, DAY)}
    store.close()


def test_usage_of_a_key_that_is_gone_is_written_and_stops_nothing(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a")
    gone = UsageRow(0, "key_gone", "m", "/", "r", 1, 1, 1, 5, 0.1)
    assert store.write_usage([gone, row_of(key, cost=1)]) == {key.id: Credit(None, 1)}
    store.close()


def test_usage_adds_up_by_hour_or_day_and_model(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a")
    _, other = store.create_key("b")
    midnight = 1_800_000_000 - 1_800_000_000 % DAY
    times = [midnight, midnight + 10, midnight + HOUR, midnight + DAY + 5]
    store.write_usage([row_of(key, cost=3, tokens=10, time=time) for time in times])
    store.write_usage([row_of(key, cost=1, tokens=4, time=midnight, model="big"), row_of(other, time=midnight)])
    by_hour = store.usage(key.id, midnight, midnight + 2 * DAY, HOUR)
    assert [(each.start - midnight, each.model, each.requests, each.cost) for each in by_hour] == [
        (0, "big", 1, 1),
        (0, "nano", 2, 6),
        (HOUR, "nano", 1, 3),
        (DAY, "nano", 1, 3),
    ]
    by_day = store.usage(key.id, midnight, midnight + DAY, DAY)
    assert [(each.model, each.documents, each.prompt_tokens, each.computed_tokens) for each in by_day] == [
        ("big", 2, 4, 2),
        ("nano", 6, 30, 15),
    ]
    assert store.usage(key.id, midnight + 2 * DAY, midnight + 3 * DAY, HOUR) == []
    store.close()


def test_a_revoked_key_keeps_its_first_time_and_a_top_up_adds(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a", credit=5)
    revoked = store.revoke(key.id)
    assert revoked.state(revoked.revoked or 0) == "revoked"
    assert store.revoke(key.id) == revoked
    assert store.top_up(key.id, 10).credit_granted == 15
    _, free = store.create_key("b")
    for call, code in (
        (lambda: store.top_up(free.id, 10), "no_credit_limit"),
        (lambda: store.top_up(key.id, 10**18), "too_much_credit"),
        (lambda: store.top_up("key_nobody", 1), "key_not_found"),
        (lambda: store.revoke("key_nobody"), "key_not_found"),
        (lambda: store.rotate("key_nobody"), "key_not_found"),
        (lambda: store.rotate(key.id), "key_revoked"),
    ):
        assert refused_change(call) == code
    assert (store.key(key.id), store.key(free.id)) == (replace(revoked, credit_granted=15), free)
    store.close()


def test_a_top_up_that_is_repeated_under_its_own_name_adds_once(address: str) -> None:
    store = Store(address)
    _, key = store.create_key("a", credit=5)
    _, other = store.create_key("b", credit=5)
    for _ in range(3):
        assert store.top_up(key.id, 10, "invoice 7").credit_granted == 15
    assert store.top_up(other.id, 10, "invoice 7").credit_granted == 15
    assert store.top_up(key.id, 10, "invoice 8").credit_granted == 25
    assert refused_change(lambda: store.top_up(key.id, 11, "invoice 7")) == "idempotency_key_reused"
    # What is refused uses up no name.
    assert refused_change(lambda: store.top_up(key.id, 10**18, "invoice 9")) == "too_much_credit"
    assert store.top_up(key.id, 1, "invoice 9").credit_granted == 26
    store.close()


def test_a_key_changes_where_it_is_told_and_nowhere_else(address: str) -> None:
    store = Store(address)
    text, key = store.create_key("a", credit=5, limits=KeyLimits(60, None, 2))
    changed = store.change_key(key.id, {"name": "b", "scopes": ["admin"], "concurrency": None, "budget": 7})
    assert replace(changed, month=0) == replace(
        key, name="b", scopes=("admin",), limits=KeyLimits(60, None, None), budget=7
    )
    assert store.find(store.digest(text.encode())) == changed
    assert store.change_key(key.id, {}) == changed
    store.close()


def test_a_rotated_key_is_the_same_key_under_another_text(address: str) -> None:
    now = 1_800_000_000.0
    store = Store(address, clock=lambda: now)
    first, key = store.create_key("a", credit=5, expires=int(now) + 500)

    def found(text: str) -> KeyRecord | None:
        return store.find(store.digest(text.encode()))

    second, rotated = store.rotate(key.id)
    assert found(first) is None
    assert found(second) == rotated == replace(key, shown=second[:16])
    third, _ = store.rotate(key.id, grace_seconds=60)
    assert found(third) == store.key(key.id)
    old = found(second)
    assert old == replace(rotated, shown=third[:16], expires=int(now) + 60)
    assert old.state(now + 59) == "active"
    now += 60
    assert found(second) is None
    store.rotate(key.id, grace_seconds=1000)
    assert [record and record.expires for record in (found(third), found(second))] == [key.expires, None]
    assert store.rotate(key.id)[1].shown != third[:16]
    assert found(third) is None
    store.close()


def test_the_last_key_that_may_administer_stays_so(address: str) -> None:
    store = Store(address)
    _, first = store.create_key("a", scopes=["admin"])
    _, second = store.create_key("b", scopes=["admin", "rerank"], expires=2_000_000_000)
    store.create_key("c")
    store.revoke(first.id, keep_admin=True)
    for call in (
        lambda: store.revoke(second.id, keep_admin=True),
        lambda: store.change_key(second.id, {"scopes": ["rerank"]}, keep_admin=True),
        lambda: store.change_key(second.id, {"expires": 1}, keep_admin=True),
    ):
        assert refused_change(call) == "last_admin"
        assert store.key(second.id) == second
    store.revoke(second.id)
    store.close()


def test_a_budget_counts_the_usage_of_its_calendar_month_alone(address: str) -> None:
    now = 1_800_000_000.0  # 2027-01-15
    first_of_january = 1_798_761_600
    store = Store(address, clock=lambda: now)
    _, key = store.create_key("a", budget=1000)
    rows = [row_of(key, cost=cost, time=first_of_january + late) for cost, late in ((5, -1), (70, 0), (900, 80_000))]
    assert store.write_usage(rows) == {key.id: Credit(None, 975, 1000, first_of_january, 970)}
    record = store.key(key.id)
    assert record
    assert (record.month_used, record.budget_left, record.month) == (970, 30, first_of_january)
    assert store.find(store.digest(store.rotate(key.id)[0].encode())).month_used == 970  # type: ignore[union-attr]
    _, late = store.create_key("b")
    store.write_usage([row_of(late, cost=11, time=now)])
    assert store.change_key(late.id, {"budget": 100}).budget_left == 89
    now += 31 * DAY
    assert {each.name: each.budget_left for each in store.all_keys()} == {"a": 1000, "b": 100}
    assert store.costs((first_of_january - DAY, int(now)), [key.id]) == {key.id: (975, 0)}
    store.close()


def test_keys_are_listed_a_page_at_a_time(address: str) -> None:
    now = 1_800_000_000.0
    store = Store(address, clock=lambda: now)
    for number in range(7):
        now += number % 3
        store.create_key(f"key {number}")
    every = store.all_keys()
    listed = store.all_keys(limit=3)
    while len(listed) < 7:
        page = store.all_keys(after=listed[-1].id, limit=3)
        assert page
        listed += page
    assert listed == every
    assert store.all_keys(after="key_nobody") == []
    store.close()


# What the release before wrote.
SCHEMA_1 = """
CREATE TABLE reranker_schema (version INTEGER, pepper VARCHAR);
CREATE TABLE reranker_keys (
    id VARCHAR NOT NULL, digest VARCHAR NOT NULL, name VARCHAR NOT NULL, shown VARCHAR NOT NULL, scopes JSON NOT NULL,
    models JSON, created BIGINT NOT NULL, expires BIGINT, revoked BIGINT, last_used BIGINT, requests_per_minute BIGINT,
    tokens_per_minute BIGINT, concurrency BIGINT, credit_granted BIGINT, credit_used BIGINT NOT NULL,
    PRIMARY KEY (id), UNIQUE (digest));
CREATE TABLE reranker_usage (
    id VARCHAR NOT NULL, time BIGINT NOT NULL, key_id VARCHAR NOT NULL, model VARCHAR NOT NULL, route VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL, documents BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL,
    computed_tokens BIGINT NOT NULL, cost BIGINT NOT NULL, duration FLOAT NOT NULL, status INTEGER NOT NULL,
    PRIMARY KEY (id));
CREATE TABLE reranker_hours (
    key_id VARCHAR NOT NULL, hour BIGINT NOT NULL, model VARCHAR NOT NULL, requests BIGINT NOT NULL,
    documents BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL, computed_tokens BIGINT NOT NULL, cost BIGINT NOT NULL,
    PRIMARY KEY (key_id, hour, model));
INSERT INTO reranker_schema VALUES (1, '');
INSERT INTO reranker_keys VALUES (
    'key_old', 'DIGEST', 'old', 'qr_live_old', '["rerank"]', NULL, 1700000000, NULL, NULL, NULL, 60, NULL, NULL,
    100, 7);
INSERT INTO reranker_hours VALUES ('key_old', 1699999200, 'nano', 1, 2, 3, 3, 7);
"""


def test_a_store_of_the_release_before_opens_with_its_keys_and_all_that_is_new(
    address: str, request: pytest.FixtureRequest
) -> None:
    text_of_key = generate()
    url = address.replace("postgresql", "postgresql+psycopg", 1) if "://" in address else f"sqlite:///{address}"
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in SCHEMA_1.replace("DIGEST", digest(text_of_key.encode(), None)).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()
    for _ in range(2):
        store = Store(address, create=False)
        record = store.find(store.digest(text_of_key.encode()))
        assert record
        assert (record.name, record.limits, record.credit_left, record.budget) == ("old", KeyLimits(60), 93, None)
        store.close()
    store = Store(address, create=False)
    assert store.change_key("key_old", {"budget": 50}).budget_left == 50
    assert store.top_up("key_old", 5, "once").credit_left == 98
    text_now, _ = store.rotate("key_old", grace_seconds=600)
    assert store.find(store.digest(text_of_key.encode()))
    assert store.find(store.digest(text_now.encode()))
    assert store.usage(None, 0, 2**40, DAY)[0].key_id == "key_old"
    store.close()


def test_tables_of_a_newer_release_are_refused(address: str) -> None:
    store = Store(address)
    with store._database.writing() as connection:
        connection.execute(text("UPDATE reranker_schema SET version = 3"))
    store.close()
    with pytest.raises(StoreError, match="schema 3, and this release reads schema 2: upgrade"):
        Store(address)


def test_another_pepper_is_refused(address: str) -> None:
    Store(address, b"one").close()
    for pepper in (b"two", None):
        with pytest.raises(InputError, match="another pepper"):
            Store(address, pepper)
    Store(address, b"one").close()


def test_nothing_is_made_where_keys_are_only_read(address: str) -> None:
    with pytest.raises(InputError, match="no keys at"):
        Store(address, create=False)
    Store(address).close()
    Store(address, create=False).close()


@pytest.mark.slow
def test_processes_that_start_together_make_the_tables_once(make_address: Make) -> None:
    script = (
        "import sys\n"
        "from qwen3_reranker.serve.accounts.store import Store\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for address in sys.argv[2:]:\n"
        "    store = Store(address)\n"
        "    store.create_key(sys.argv[1])\n"
        "    store.close()\n"
    )
    addresses = [make_address() for _ in range(8)]
    names = {f"key {number}" for number in range(4)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, name, *addresses],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=PATIENCE_SECONDS)
    assert [process.returncode for process in processes] == [0] * len(names)
    for address in addresses:
        store = Store(address)
        assert {key.name for key in store.all_keys()} == names
        with store._database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM reranker_schema")).scalar_one() == 1
        store.close()


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_line_that_is_cut_at_the_commit_makes_no_row_count_twice_and_none_go_missing(
    postgres: Postgres, cut: str
) -> None:
    database = f"cut_{cut}"
    postgres.create(database)
    line = CutLine(postgres)
    store = Store(postgres.url(database, line.folder))
    _, key = store.create_key("a", credit=1000)
    rows = [row_of(key, cost=7) for _ in range(10)]
    line.cut_at = cut
    with pytest.raises(StoreError):
        store.write_usage(rows)
    assert agreeing(store, key) == ((0, 0) if cut == "before" else (10, 70))
    assert store.write_usage(rows) == {key.id: Credit(1000, 70)}
    assert agreeing(store, key) == (10, 70)
    store.close()
    line.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mysql://host/db", "not at mysql://"),
        ("sqlite://", "expected a path"),
        ("sqlite:///:memory:", "expected a path"),
        ("", "expected a path"),
        ("postgresql://user:hunter2@host:port/db", "cannot? be read"),
    ],
)
def test_an_address_that_is_no_database_is_one_sentence_without_its_password(address: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("cannot? ", "can ")) as caught:
        Store(address)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_is_not_there_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, but some text" * 100)
    for address in (
        "postgresql://user:hunter2@127.0.0.1:9/db",
        str(tmp_path / "no" / "folder.db"),
        str(tmp_path),
        str(tmp_path / "text.db"),
    ):
        with pytest.raises(StoreError, match="cannot be used: ") as caught:
            Store(address)
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_any_postgres_url_and_a_plain_driver_reach_the_same_database(postgres: Postgres) -> None:
    url = postgres.create("spellings")
    Store(url).close()
    for scheme in ("postgres", "postgresql+psycopg", "postgresql+psycopg2"):
        Store(url.replace("postgresql", scheme, 1), create=False).close()
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.connect() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        assert set(names) == {
            "reranker_schema",
            "reranker_keys",
            "reranker_usage",
            "reranker_hours",
            "reranker_top_ups",
        }
    engine.dispose()
