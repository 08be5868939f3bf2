"""Store: keys, and usage that is written together with the credit that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, insert, or_, select, tuple_, update

from qwen3_reranker.errors import InputError, RerankerError
from qwen3_reranker.serve.accounts import key_format
from qwen3_reranker.serve.accounts.database import Database
from qwen3_reranker.serve.accounts.key_records import (
    DEFAULT_SCOPES,
    MOST_DOLLARS,
    NANODOLLARS,
    Credit,
    KeyLimits,
    KeyRecord,
    UsageRow,
    UsageSum,
    month_start,
)
from qwen3_reranker.serve.accounts.tables import HOURS, KEYS, TOP_UPS, lock_tables, prepare
from qwen3_reranker.serve.accounts.usage_rows import costs_since, insert_usage, usage_sums


class KeyChangeError(InputError):
    """A change of a key that the store refuses; nothing has changed. code: a stable name for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Store:
    """Keys and usage in one SQLite file or Postgres database.

    Every method is one transaction and raises StoreError. Methods that change a key raise KeyChangeError.
    """

    def __init__(
        self,
        address: str,
        pepper: bytes | None = None,
        *,
        create: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the database at a path, sqlite:///PATH or postgresql://..., and create its tables.

        Raises InputError for another kind of address, for another pepper than the first time, and with create=False
        where there is nothing yet.
        """
        self._database = Database(address, create=create)
        self._pepper = pepper
        self._clock = clock
        self.name = self._database.name
        try:
            prepare(self._database, pepper, create=create)
        except RerankerError:
            self._database.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def digest(self, presented: bytes) -> str:
        """The stored hash of a key; raises Problem 401 for text that is no key."""
        return key_format.digest(key_format.parse(presented), self._pepper)

    def create_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        models: Sequence[str] | None = None,
        expires: int | None = None,
        limits: KeyLimits | None = None,
        credit: int | None = None,
        budget: int | None = None,
    ) -> tuple[str, KeyRecord]:
        """Create a key: its text, which is not stored, and its record."""
        text = key_format.generate()
        limits = limits or KeyLimits()
        values = {
            "id": key_format.random_id("key"),
            "digest": self.digest(text.encode()),
            "name": name,
            "shown": key_format.shown_part(text),
            "scopes": list(scopes),
            "models": None if models is None else list(models),
            "created": int(self._clock()),
            "expires": expires,
            "requests_per_minute": limits.requests,
            "tokens_per_minute": limits.tokens,
            "concurrency": limits.concurrency,
            "credit_granted": credit,
            "credit_used": 0,
            "budget": budget,
        }
        with self._database.writing() as connection:
            connection.execute(insert(KEYS).values(**values))
            return text, self._changed(connection, str(values["id"]))

    def check(self) -> None:
        """Raise StoreError if the store cannot be used at this moment."""
        self._database.check()

    def has_keys(self) -> bool:
        """Whether there is any key, revoked ones too."""
        with self._database.reading() as connection:
            return connection.execute(select(KEYS.c.id).limit(1)).first() is not None

    def find(self, digest: str) -> KeyRecord | None:
        """The key with this digest. Found by the digest before a rotation, it expires when that does."""
        now = self._clock()
        by_previous = and_(KEYS.c.previous_digest == digest, KEYS.c.previous_until > now)
        with self._database.reading() as connection:
            row = connection.execute(self._keys().where(or_(KEYS.c.digest == digest, by_previous))).one_or_none()
        if row is None:
            return None
        record, until = self._record(row), row.previous_until
        if row.digest == digest:
            return record
        return replace(record, expires=until if record.expires is None else min(record.expires, until))

    def all_keys(self, after: str | None = None, limit: int | None = None) -> list[KeyRecord]:
        """Keys, revoked ones too, oldest first; those after the one with the id `after`."""
        order = tuple_(KEYS.c.created, KEYS.c.id)
        query = self._keys().order_by(KEYS.c.created, KEYS.c.id).limit(limit)
        if after is not None:
            query = query.where(order > select(KEYS.c.created, KEYS.c.id).where(KEYS.c.id == after).scalar_subquery())
        with self._database.reading() as connection:
            return [self._record(row) for row in connection.execute(query)]

    def key(self, key_id: str) -> KeyRecord | None:
        """The key with this id."""
        with self._database.reading() as connection:
            row = connection.execute(self._keys().where(KEYS.c.id == key_id)).one_or_none()
        return None if row is None else self._record(row)

    def revoke(self, key_id: str, *, keep_admin: bool = False) -> KeyRecord:
        """Revoke a key for good; a second call keeps the first time. keep_admin: as for `change_key`."""
        revoked = func.coalesce(KEYS.c.revoked, int(self._clock()))
        return self.change_key(key_id, {"revoked": revoked}, keep_admin=keep_admin)

    def change_key(self, key_id: str, values: Mapping[str, Any], *, keep_admin: bool = False) -> KeyRecord:
        """Set columns of a key. keep_admin: refuse what leaves no valid key with the scope admin."""
        with self._database.writing() as connection:
            if keep_admin:
                lock_tables(connection)
            if values:
                connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(**values))
            record = self._changed(connection, key_id)
            if keep_admin and not self._has_admin(connection):
                raise KeyChangeError("last_admin", "this would leave no valid key with the scope admin")
            return record

    def rotate(self, key_id: str, grace_seconds: int = 0) -> tuple[str, KeyRecord]:
        """Give a key another text: the text, which is not stored, and the record.

        The text before is valid for grace_seconds more; one before that ends now.
        """
        text = key_format.generate()
        values = {
            "previous_digest": KEYS.c.digest if grace_seconds else None,
            "previous_until": int(self._clock()) + grace_seconds if grace_seconds else None,
            "digest": self.digest(text.encode()),
            "shown": key_format.shown_part(text),
        }
        with self._database.writing() as connection:
            changing = update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked.is_(None)).values(**values)
            if not connection.execute(changing).rowcount and self._changed(connection, key_id):
                raise KeyChangeError("key_revoked", f"{key_id} is revoked for good; create another key")
            return text, self._changed(connection, key_id)

    def top_up(self, key_id: str, nanodollars: int, idempotency_key: str | None = None) -> KeyRecord:
        """Grant a key more credit; once for each idempotency key, however often it is called."""
        with self._database.writing() as connection:
            if idempotency_key is not None:
                values = {"key_id": key_id, "idempotency_key": idempotency_key, "nanodollars": nanodollars}
                adding = self._database.insert(TOP_UPS).on_conflict_do_nothing().returning(TOP_UPS.c.key_id)
                if connection.execute(adding.values(**values, time=int(self._clock()))).first() is None:
                    before = select(TOP_UPS.c.nanodollars).where(
                        TOP_UPS.c.key_id == key_id, TOP_UPS.c.idempotency_key == idempotency_key
                    )
                    if connection.execute(before).scalar_one() != nanodollars:
                        raise KeyChangeError("idempotency_key_reused", "this idempotency key was used for another sum")
                    return self._changed(connection, key_id)
            changing = update(KEYS).where(KEYS.c.id == key_id)
            connection.execute(changing.values(credit_granted=KEYS.c.credit_granted + nanodollars))
            record = self._changed(connection, key_id)
            if record.credit_granted is None:
                raise KeyChangeError("no_credit_limit", f"{key_id} has no credit limit, so there is nothing to top up")
            if record.credit_granted > MOST_DOLLARS * NANODOLLARS:
                raise KeyChangeError("too_much_credit", f"a key's credit is at most {MOST_DOLLARS:,} dollars in all")
            return record

    def write_usage(self, rows: Iterable[UsageRow]) -> dict[str, Credit]:
        """Write rows and take their cost from the credit, in one transaction. Rows written before do not count again.

        Returns the credit of every key among them after that.
        """
        rows = list(rows)
        key_ids = sorted({row.key_id for row in rows})
        with self._database.writing() as connection:
            insert_usage(connection, rows, self._database.insert)
            credit = connection.execute(self._keys().where(KEYS.c.id.in_(key_ids)))
            return {record.id: record.credit for record in map(self._record, credit)}

    def costs(self, begins: Sequence[int], key_ids: Sequence[str] | None = None) -> dict[str, tuple[int, ...]]:
        """Nanodollars that each key has cost since each of these times, all keys by default. Unused keys are left out.

        Counts the hours that begin at or after a time.
        """
        with self._database.reading() as connection:
            return costs_since(connection, begins, key_ids)

    def usage(
        self, key_id: str | None, since: int, until: int, bucket: int, limit: int | None = None
    ) -> list[UsageSum]:
        """Sums of usage by key and model, in buckets of `bucket` seconds, oldest first; of one key, or of all for None.

        Buckets have whole hours, counted from 1970. Counts the hours that begin at or after `since` and before `until`.
        """
        with self._database.reading() as connection:
            return usage_sums(connection, key_id, since, until, bucket, limit)

    def _keys(self) -> Select[Any]:
        """All columns of keys, and what those with a budget have used of this month's."""
        month = month_start(self._clock())
        used = select(func.coalesce(func.sum(HOURS.c.cost), 0)).where(
            HOURS.c.key_id == KEYS.c.id, HOURS.c.hour >= month
        )
        return select(
            KEYS,
            case((KEYS.c.budget.is_(None), 0), else_=month).label("month"),
            case((KEYS.c.budget.is_(None), 0), else_=used.scalar_subquery()).label("month_used"),
        )

    def _changed(self, connection: Connection, key_id: str) -> KeyRecord:
        row = connection.execute(self._keys().where(KEYS.c.id == key_id)).one_or_none()
        if row is None:
            raise KeyChangeError("key_not_found", "no key has this id")
        return self._record(row)

    def _has_admin(self, connection: Connection) -> bool:
        now = self._clock()
        valid = select(KEYS.c.scopes).where(
            KEYS.c.revoked.is_(None), or_(KEYS.c.expires.is_(None), KEYS.c.expires > now)
        )
        return any("admin" in scopes for scopes in connection.execute(valid).scalars())

    @staticmethod
    def _record(row: Row[Any]) -> KeyRecord:
        fields = dict(row._mapping)
        for secret in ("digest", "previous_digest", "previous_until"):
            del fields[secret]
        limits = KeyLimits(
            fields.pop("requests_per_minute"), fields.pop("tokens_per_minute"), fields.pop("concurrency")
        )
        models = fields.pop("models")
        return KeyRecord(
            **fields | {"scopes": tuple(fields["scopes"]), "month_used": int(fields["month_used"])},
            models=None if models is None else tuple(models),
            limits=limits,
        )
