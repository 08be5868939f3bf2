"""The database of accounts: an address -> short transactions on SQLite or Postgres."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from qwen3_reranker.errors import InputError, RerankerError, UnavailableError

_TIMEOUT_SECONDS = 5


class StoreError(RerankerError, RuntimeError):
    """The database of keys and usage is unreachable, damaged, or written by a newer release."""

    exit_code = 4
    http_status = 503


class Database:
    """Connections to one SQLite file or Postgres database, for use by many threads.

    A SQLite file that is deleted or replaced while it is open is noticed at the next transaction. Another file at its
    path is used once `follow` finds its tables right.
    """

    def __init__(self, address: str, *, create: bool) -> None:
        """Read the address: a path, sqlite:///PATH or postgresql://...; a new file only if `create`.

        Raises InputError for another address, UnavailableError without the driver, StoreError for a file that cannot
        be made. No connection is opened yet.
        """
        url = _url_of(address)
        self.name = str(url.database) if url.drivername == "sqlite" else url.render_as_string(hide_password=True)
        self.is_postgres = url.drivername != "sqlite"
        if self.is_postgres:
            self._engine = _postgres(url)
        else:
            _require_file(self.name, create)
            self._engine = _sqlite(url)
        self._writing = self._engine.execution_options(writes=True)
        self._check_tables: Callable[[Connection], None] = lambda _connection: None
        self._replacing = threading.Lock()
        self._file = self._inode()
        self._log = self._inode("-wal")

    def follow(self, check_tables: Callable[[Connection], None]) -> None:
        """Use another file at the path, once there is one, if `check_tables` raises no InputError for it."""
        self._check_tables = check_tables

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that reads; raises StoreError."""
        with self._as_store_error():
            self._open_file()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes, all or nothing. Raises StoreError, after which it may have been written."""
        with self._as_store_error():
            file = self._open_file()
            with self._writing.begin() as connection:
                yield connection
            if self._inode() != file:
                raise StoreError(f"the keys at {self.name} cannot be used: the file was replaced while it was written")
            self._log = self._inode("-wal")

    def check(self) -> None:
        """Raise StoreError if nothing can be read."""
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def insert(self, table: Any) -> Any:
        """An INSERT in the database's own dialect, which knows ON CONFLICT."""
        return postgresql.insert(table) if self.is_postgres else sqlite.insert(table)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _open_file(self) -> tuple[int, int] | None:
        """Device and inode of the SQLite file that is used from now on; raises StoreError."""
        found = self._inode()
        if found == self._file:
            return found
        if found is None:
            raise StoreError(f"the keys at {self.name} cannot be used: the file was deleted or moved; put it back")
        if self._log is not None and self._log == self._inode("-wal"):
            # SQLite would write the changes of the old file into the new one.
            raise StoreError(
                f"the keys at {self.name} cannot be used: another file is there, beside the -wal of the one before; "
                "move the files that end in -wal and -shm away too"
            )
        with self._replacing:
            if found != self._file:
                # Connections keep the old file open, so the new one cannot have its inode before they are closed.
                self._engine.dispose()
                # The old -wal is not at the path. A later one there may get its inode, now that it is closed.
                self._log = None
                try:
                    with self._writing.begin() as connection:
                        self._check_tables(connection)
                except InputError as error:
                    raise StoreError(
                        f"the keys at {self.name} cannot be used: another file is there: {error}"
                    ) from None
                self._file, self._log = found, self._inode("-wal")
        return found

    def _inode(self, ending: str = "") -> tuple[int, int] | None:
        if self.is_postgres:
            return None
        try:
            status = os.stat(self.name + ending)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # Only the driver's first line: the next lines and the statement may hold values.
            cause = error.orig if isinstance(error, DBAPIError) else error
            line, *_ = str(cause).splitlines() or [type(cause).__name__]
            raise StoreError(f"the keys at {self.name} cannot be used: {line}") from error


def _url_of(address: str) -> URL:
    if "://" not in address:
        url = URL.create("sqlite", database=address)
    else:
        try:
            url = make_url(address)
        except (ArgumentError, ValueError):
            # The address may hold a password, so the error does not repeat it.
            raise InputError("the address of the keys is not a URL that can be read") from None
    kind = url.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise InputError(f"keys are kept in a file, or at sqlite:///PATH or postgresql://..., not at {kind}://")
    if not url.database or url.database.startswith((":memory:", "file:")):
        raise InputError("keys are kept in a file: expected a path or sqlite:///PATH")
    return url.set(drivername="sqlite")


def _require_file(path: str, create: bool) -> None:
    if Path(path).exists():
        # Not opened here: closing it would end the locks of this process's other connections to it.
        return
    if not create:
        raise InputError(
            f"no keys at {path}: `qwen3-reranker keys create NAME --keys {path}` makes the file and the first key"
        )
    try:
        # Usage is private; SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"the keys at {path} cannot be used: {error.strerror}") from None


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # else the driver begins its own transactions
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that changes from reading to writing fails at once while another writes; this one waits.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_write_ahead_log(connection: Any) -> None:
    # The file keeps the mode. The first change needs exclusive access, the one lock for which SQLite does not wait.
    give_up = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _postgres(url: URL) -> Engine:
    # Prepared statements and settings of a session do not survive a pooler such as PgBouncer.
    options = {
        "connect_timeout": _TIMEOUT_SECONDS,
        "tcp_user_timeout": _TIMEOUT_SECONDS * 1000,
        "prepare_threshold": None,
    }
    try:
        engine = create_engine(
            url, hide_parameters=True, connect_args=options, pool_pre_ping=True, pool_timeout=_TIMEOUT_SECONDS
        )
    except ImportError:
        raise UnavailableError(
            'keys in Postgres need psycopg, which is not installed: pip install "qwen3_reranker[postgres]"'
        ) from None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_TIMEOUT_SECONDS * 1000}")

    return engine
