"""Store: keys, and usage that is written together with the credit that it takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Row, bindparam, func, insert, select, update

from qwen3_reranker.errors import RerankerError
from qwen3_reranker.serve.accounts import key_format
from qwen3_reranker.serve.accounts.database import Database
from qwen3_reranker.serve.accounts.key_records import (
    DEFAULT_SCOPES,
    Credit,
    KeyLimits,
    KeyRecord,
    UsageRow,
    UsageSum,
)
from qwen3_reranker.serve.accounts.tables import HOURS, KEYS, USAGE, prepare

_HOUR = 3600
_SUMMED = ("requests", "documents", "prompt_tokens", "computed_tokens", "cost")
_MAX_TEXT = 200


class Store:
    """Keys and usage in one SQLite file or Postgres database. Every method is one transaction and raises StoreError."""

    def __init__(self, address: str, pepper: bytes | None = None, *, create: bool = True) -> None:
        """Open the database at a path, sqlite:///PATH or postgresql://..., and create its tables.

        Raises InputError for another kind of address, for another pepper than the first time, and with create=False
        where there is nothing yet.
        """
        self._database = Database(address, create=create)
        self._pepper = pepper
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
            "created": int(time.time()),
            "expires": expires,
            "requests_per_minute": limits.requests,
            "tokens_per_minute": limits.tokens,
            "concurrency": limits.concurrency,
            "credit_granted": credit,
            "credit_used": 0,
        }
        with self._database.writing() as connection:
            row = connection.execute(insert(KEYS).values(**values).returning(KEYS)).one()
        return text, _record(row)

    def check(self) -> None:
        """Raise StoreError if the store cannot be used at this moment."""
        self._database.check()

    def has_keys(self) -> bool:
        """Whether there is any key, revoked ones too."""
        with self._database.reading() as connection:
            return connection.execute(select(KEYS.c.id).limit(1)).first() is not None

    def find(self, digest: str) -> KeyRecord | None:
        """The key with this digest."""
        with self._database.reading() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.digest == digest)).one_or_none()
        return None if row is None else _record(row)

    def all_keys(self) -> list[KeyRecord]:
        """All keys, revoked ones too, oldest first."""
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created, KEYS.c.id))]

    def key(self, key_id: str) -> KeyRecord | None:
        """The key with this id."""
        with self._database.reading() as connection:
            row = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).one_or_none()
        return None if row is None else _record(row)

    def revoke(self, key_id: str) -> KeyRecord:
        """Revoke a key for good; a second call keeps the first time."""
        return self._change(key_id, revoked=func.coalesce(KEYS.c.revoked, int(time.time())))

    def top_up(self, key_id: str, nanodollars: int) -> KeyRecord:
        """Grant a key more credit; a key without a limit stays without one."""
        return self._change(key_id, credit_granted=KEYS.c.credit_granted + nanodollars)

    def write_usage(self, rows: Iterable[UsageRow]) -> dict[str, Credit]:
        """Write rows and take their cost from the credit, in one transaction. Rows written before do not count again.

        Returns the credit of every key among them after that.
        """
        distinct = {row.id: _storable(row) for row in rows}
        key_ids = sorted({row.key_id for row in distinct.values()})
        with self._database.writing() as connection:
            inserting = self._database.insert(USAGE).on_conflict_do_nothing().returning(USAGE.c.id)
            inserted = connection.execute(inserting, [asdict(row) for row in distinct.values()]).scalars().all()
            new = [distinct[row_id] for row_id in inserted]
            if new:
                # The same order everywhere, so that servers which share the database never deadlock.
                taking = update(KEYS).where(KEYS.c.id == bindparam("key"))
                taking = taking.values(credit_used=KEYS.c.credit_used + bindparam("taken"), last_used=bindparam("at"))
                connection.execute(taking, _taken(new))
                adding = self._database.insert(HOURS)
                sums = {name: HOURS.c[name] + adding.excluded[name] for name in _SUMMED}
                adding = adding.on_conflict_do_update(index_elements=["key_id", "hour", "model"], set_=sums)
                connection.execute(adding, _hourly(new))
            credit = select(KEYS.c.id, KEYS.c.credit_granted, KEYS.c.credit_used).where(KEYS.c.id.in_(key_ids))
            return {key: Credit(granted, used) for key, granted, used in connection.execute(credit)}

    def usage(self, key_id: str, since: int, until: int, bucket: int) -> list[UsageSum]:
        """Sums of a key's usage by model, in buckets of `bucket` seconds, oldest first.

        Buckets have whole hours, counted from 1970. Counts the hours that begin at or after `since` and before `until`.
        """
        start = (HOURS.c.hour - HOURS.c.hour % bucket).label("start")
        sums = [func.sum(HOURS.c[name]) for name in _SUMMED]
        query = select(start, HOURS.c.model, *sums).group_by("start", HOURS.c.model).order_by("start", HOURS.c.model)
        query = query.where(HOURS.c.key_id == key_id, HOURS.c.hour >= since, HOURS.c.hour < until)
        with self._database.reading() as connection:
            # Postgres sums bigints to a numeric, which arrives as a Decimal.
            return [UsageSum(begin, model, *map(int, rest)) for begin, model, *rest in connection.execute(query)]

    def _change(self, key_id: str, **values: object) -> KeyRecord:
        with self._database.writing() as connection:
            changing = update(KEYS).where(KEYS.c.id == key_id).values(**values).returning(KEYS)
            return _record(connection.execute(changing).one())


def _record(row: Row[tuple[object, ...]]) -> KeyRecord:
    fields = dict(row._mapping)
    del fields["digest"]
    limits = KeyLimits(fields.pop("requests_per_minute"), fields.pop("tokens_per_minute"), fields.pop("concurrency"))
    models = fields.pop("models")
    return KeyRecord(
        **fields | {"scopes": tuple(fields["scopes"])},
        models=None if models is None else tuple(models),
        limits=limits,
    )


def _storable(row: UsageRow) -> UsageRow:
    # One text that a database refuses (NUL, a lone surrogate) would block all rows after it.
    return replace(row, model=_clean(row.model), route=_clean(row.route), request_id=_clean(row.request_id))


def _clean(text: str) -> str:
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "?")


def _taken(rows: Sequence[UsageRow]) -> list[dict[str, object]]:
    costs: defaultdict[str, int] = defaultdict(int)
    last: dict[str, int] = {}
    for row in rows:
        costs[row.key_id] += row.cost
        last[row.key_id] = max(row.time, last.get(row.key_id, 0))
    return [{"key": key, "taken": costs[key], "at": last[key]} for key in sorted(costs)]


def _hourly(rows: Sequence[UsageRow]) -> list[dict[str, object]]:
    sums: dict[tuple[str, int, str], list[int]] = {}
    for row in rows:
        bucket = (row.key_id, row.time - row.time % _HOUR, row.model)
        total = sums.setdefault(bucket, [0] * len(_SUMMED))
        amounts = (1, row.documents, row.prompt_tokens, row.computed_tokens, row.cost)
        for number, amount in enumerate(amounts):
            total[number] += amount
    return [
        {"key_id": key, "hour": hour, "model": model, **dict(zip(_SUMMED, sums[key, hour, model], strict=True))}
        for key, hour, model in sorted(sums)
    ]
