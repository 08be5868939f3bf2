"""The tables of accounts, which the first server creates in one transaction."""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.database import Database, StoreError

VERSION = 2
# Any number, if no other program that shares the database locks the same one.
_POSTGRES_LOCK = 0x7172_6B65_7973

_METADATA = MetaData()
SCHEMA = Table("reranker_schema", _METADATA, Column("version", Integer), Column("pepper", String))
KEYS = Table(
    "reranker_keys",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("shown", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("last_used", BigInteger),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("concurrency", BigInteger),
    Column("credit_granted", BigInteger),
    Column("credit_used", BigInteger, nullable=False),
    # Nanodollars for each calendar month in UTC.
    Column("budget", BigInteger),
    # The digest before the last rotation, which is valid until a Unix time.
    Column("previous_digest", String),
    Column("previous_until", BigInteger),
)
_PREVIOUS = Index("reranker_keys_previous", KEYS.c.previous_digest)
# Each top-up that its caller named, so that a repeated request adds once.
TOP_UPS = Table(
    "reranker_top_ups",
    _METADATA,
    Column("key_id", String, primary_key=True),
    Column("idempotency_key", String, primary_key=True),
    Column("nanodollars", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
)
USAGE = Table(
    "reranker_usage",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("key_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("route", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("documents", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("computed_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("duration", Double, nullable=False),
    Column("status", Integer, nullable=False),
)
# Sums of USAGE by hour, written with it: a month of a busy key has 744 of these rows and millions of USAGE, which may
# be deleted.
HOURS = Table(
    "reranker_hours",
    _METADATA,
    Column("key_id", String, primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("model", String, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("documents", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("computed_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
)


def prepare(database: Database, pepper: bytes | None, *, create: bool) -> None:
    """Create the tables, or bring them to this release, and check that they were made with this pepper.

    Raises InputError for another pepper, or without tables and without `create`; StoreError for tables of a newer
    release or an unreachable database.
    """
    mark = hmac.new(pepper, b"qwen3_reranker accounts", hashlib.sha256).hexdigest() if pepper else ""
    with database.writing() as connection:
        lock_tables(connection)
        if inspect(connection).has_table(SCHEMA.name):
            _check(connection, database.name, mark)
        elif create:
            _METADATA.create_all(connection)
            connection.execute(insert(SCHEMA).values(version=VERSION, pepper=mark))
        else:
            raise _no_tables(database.name)
    database.follow(lambda connection: _follow(connection, database.name, mark))


def lock_tables(connection: Connection) -> None:
    """Let no other transaction that calls this run until this one ends."""
    # SQLite's transactions that write never overlap.
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_POSTGRES_LOCK)))


def _follow(connection: Connection, name: str, mark: str) -> None:
    if not inspect(connection).has_table(SCHEMA.name):
        raise _no_tables(name)
    _check(connection, name, mark)


def _no_tables(name: str) -> InputError:
    return InputError(f"no keys at {name}: `qwen3-reranker keys create NAME --keys ...` makes the first there")


def _check(connection: Connection, name: str, mark: str) -> None:
    version, stored_mark = connection.execute(select(SCHEMA.c.version, SCHEMA.c.pepper)).one()
    if version > VERSION:
        raise StoreError(
            f"the keys at {name} are of schema {version}, and this release reads schema {VERSION}: "
            "upgrade qwen3_reranker"
        )
    if not hmac.compare_digest(stored_mark, mark):
        raise InputError(f"the keys at {name} were made with another pepper, or with none: no key would be known")
    if version == 1:
        _add_schema_2(connection)


def _add_schema_2(connection: Connection) -> None:
    """Add what schema 1 lacks. Servers that still run an older release go on, as they read none of it."""
    for column in (KEYS.c.budget, KEYS.c.previous_digest, KEYS.c.previous_until):
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {KEYS.name} ADD COLUMN {column.name} {kind}"))
    _PREVIOUS.create(connection)
    TOP_UPS.create(connection)
    connection.execute(update(SCHEMA).values(version=2))
