"""Rows of usage in the database: written once each, with their sums by hour and the credit that they take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, update

from qwen3_reranker.serve.accounts.key_records import UsageRow, UsageSum
from qwen3_reranker.serve.accounts.tables import HOURS, KEYS, USAGE

_HOUR = 3600
_SUMMED = ("requests", "documents", "prompt_tokens", "computed_tokens", "cost")
_MAX_TEXT = 200


def insert_usage(connection: Connection, rows: Sequence[UsageRow], insert: Callable[[Any], Any]) -> None:
    """Write rows, each once, and add the new ones to the sums and to the used credit. `insert` knows ON CONFLICT."""
    distinct = {row.id: _storable(row) for row in rows}
    inserting = insert(USAGE).on_conflict_do_nothing().returning(USAGE.c.id)
    inserted = connection.execute(inserting, [asdict(row) for row in distinct.values()]).scalars().all()
    new = [distinct[row_id] for row_id in inserted]
    if not new:
        return
    # The same order everywhere, so that servers which share the database never deadlock.
    taking = update(KEYS).where(KEYS.c.id == bindparam("key"))
    taking = taking.values(credit_used=KEYS.c.credit_used + bindparam("taken"), last_used=bindparam("at"))
    connection.execute(taking, _taken(new))
    adding = insert(HOURS)
    sums = {name: HOURS.c[name] + adding.excluded[name] for name in _SUMMED}
    adding = adding.on_conflict_do_update(index_elements=["key_id", "hour", "model"], set_=sums)
    connection.execute(adding, _hourly(new))


def costs_since(
    connection: Connection, begins: Sequence[int], key_ids: Sequence[str] | None
) -> dict[str, tuple[int, ...]]:
    """Nanodollars of each key since each of these times; key_ids: None for all keys."""
    sums = [func.sum(case((HOURS.c.hour >= begin, HOURS.c.cost), else_=0)) for begin in begins]
    query = select(HOURS.c.key_id, *sums).where(HOURS.c.hour >= min(begins)).group_by(HOURS.c.key_id)
    if key_ids is not None:
        query = query.where(HOURS.c.key_id.in_(key_ids))
    return {key_id: tuple(map(int, costs)) for key_id, *costs in connection.execute(query)}


def usage_sums(
    connection: Connection, key_id: str | None, since: int, until: int, bucket: int, limit: int | None
) -> list[UsageSum]:
    """Sums by bucket, key and model; key_id: None for all keys."""
    start = (HOURS.c.hour - HOURS.c.hour % bucket).label("start")
    groups = (start, HOURS.c.key_id, HOURS.c.model)
    query = select(*groups, *(func.sum(HOURS.c[name]) for name in _SUMMED))
    query = query.where(HOURS.c.hour >= since, HOURS.c.hour < until)
    if key_id is not None:
        query = query.where(HOURS.c.key_id == key_id)
    query = query.group_by("start", *groups[1:]).order_by("start", *groups[1:]).limit(limit)
    # Postgres sums bigints to a numeric, which arrives as a Decimal.
    return [
        UsageSum(begin, model, int(requests), int(documents), int(prompt), int(computed), int(cost), key)
        for begin, key, model, requests, documents, prompt, computed, cost in connection.execute(query)
    ]


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
