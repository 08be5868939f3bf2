"""`keys`: make, list, revoke and top up the keys of a server."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.help import Verb, VerbGroup
from qwen3_reranker.cli.shared_options import PrintOptions
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.errors import InputError, UnavailableError, unknown
from qwen3_reranker.option_fields import option
from qwen3_reranker.serve.accounts.key_records import DEFAULT_SCOPES, NANODOLLARS, SCOPES, KeyLimits, KeyRecord
from qwen3_reranker.serve.problems import Problem

if TYPE_CHECKING:
    from qwen3_reranker.serve.accounts.store import Store

STORE_VARIABLE = "QWEN3_RERANKER_KEYS"
PEPPER_VARIABLE = "QWEN3_RERANKER_PEPPER"
DEFAULT_STORE = "keys.db"
_MOST_DOLLARS = 1_000_000_000
_LONGEST_NAME = 100
_SECONDS = {"h": 3600, "d": 86_400}
_HIGHEST_LIMIT = 10**12
# A beginning that names a key: what all keys begin with, and four characters of its own.
_SHORTEST_BEGINNING = 12

keys = typer.Typer(cls=VerbGroup, add_completion=False)

Wanted = Annotated[str, Argument(metavar="KEY")]


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where keys are."""

    keys: str | None = option(
        None,
        "The store of keys: a file, or postgresql://...",
        unit="PATH|URL",
        shown=f"{STORE_VARIABLE}, or {DEFAULT_STORE}",
        group="Store",
    )


@dataclass(frozen=True, kw_only=True)
class KeyOptions:
    """What a key may do, and how much."""

    group: ClassVar[str] = "Limits"
    scopes: str = option(
        ",".join(DEFAULT_SCOPES), f"What it may do, of {', '.join(SCOPES)}.", unit="NAME,...", group="Rights"
    )
    models: str | None = option(None, "The models it may use.", unit="ID,...", shown="all", group="Rights")
    expires: str | None = option(
        None,
        "When it ends: in 12h or 30d, or on 2027-01-31 as the day begins in UTC.",
        unit="TIME",
        shown="never",
        group="Rights",
    )
    requests_per_minute: int | None = option(
        None, "Requests per minute, counted on each server.", unit="N", shown="no limit", least=1
    )
    tokens_per_minute: int | None = option(
        None, "Prompt tokens per minute, counted on each server.", unit="N", shown="no limit", least=1
    )
    concurrency: int | None = option(
        None, "Requests that run at the same time, counted on each server.", unit="N", shown="no limit", least=1
    )
    credit: str | None = option(None, "Prepaid credit; 0 can be topped up.", unit="DOLLARS", shown="no limit")
    json: bool = option(False, "Print a JSON object with the key in it.", group="Output")


@keys.callback(invoke_without_command=True)
def _keys(context: typer.Context) -> None:
    """Make, list, revoke and top up the keys of a server.

    Keys are in a SQLite file, or in a Postgres database that several servers share; only a hash of each key is stored.
    Name the store with --keys or QWEN3_RERANKER_KEYS. QWEN3_RERANKER_PEPPER is a secret that is mixed into the hashes:
    the server and `keys` need the same one.

    Examples:
      qwen3-reranker keys create "search team" --requests-per-minute 600 --credit 25
      qwen3-reranker keys list
      qwen3-reranker keys top-up key_4f9cAb12Zx90QwErTyUi 10
      qwen3-reranker keys revoke qr_live_4f9cAb12
      qwen3-reranker serve --keys keys.db
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@keys.command("create", cls=Verb)
@declared
def create(name: Annotated[str, Argument(metavar="NAME")], *, store: StoreOptions, options: KeyOptions) -> None:
    """Make a key and print it; it cannot be shown again.

    NAME says who or what uses it. Standard output is only the key, so a command can store it:

    Examples:
      qwen3-reranker keys create "search team"
      qwen3-reranker keys create ci --expires 30d --scopes rerank --concurrency 2 > ci.key
      qwen3-reranker keys create ann --credit 25 --keys postgresql://reranker@db.internal/reranker
    """
    rights: dict[str, Any] = {
        "scopes": [_scope(each) for each in _names("--scopes", options.scopes)],
        "models": None if options.models is None else _names("--models", options.models),
        "expires": None if options.expires is None else _moment(options.expires),
        "credit": None if options.credit is None else _nanodollars("--credit", options.credit),
    }
    limits = KeyLimits(
        _bounded("--requests-per-minute", options.requests_per_minute),
        _bounded("--tokens-per-minute", options.tokens_per_minute),
        _bounded("--concurrency", options.concurrency),
    )
    if not name.strip() or len(name) > _LONGEST_NAME or visible(name) != name:
        raise InputError(f"NAME must be 1 to {_LONGEST_NAME} visible characters")
    with _opened(store, create=True) as opened:
        text, record = opened.create_key(name, limits=limits, **rights)
        if options.json:
            print(json.dumps({"key": text, **_facts(record)}, indent=2))
        else:
            print(text)
        note(f"this is {record.id}; the key cannot be shown again; {opened.name} keeps a hash of it")


@keys.command("list", cls=Verb)
@declared
def list_keys(*, store: StoreOptions, output: PrintOptions) -> None:
    """List all keys: what they may do, what they used, what is left.

    Examples:
      qwen3-reranker keys list
      qwen3-reranker keys list --format json | jq '.[] | select(.state == "active")'
    """
    with _opened(store) as opened:
        records = opened.all_keys()
    if output.chosen == "json":
        print(json.dumps([_facts(record) for record in records], indent=2))
    else:
        from qwen3_reranker.cli.keys_table import write_keys

        write_keys(records, sys.stdout)


@keys.command("revoke", cls=Verb)
@declared
def revoke(wanted: Wanted, *, store: StoreOptions) -> None:
    """Revoke a key for good; servers refuse it within seconds.

    KEY is its id, the beginning that `list` shows, or the key itself.

    Examples:
      qwen3-reranker keys revoke key_4f9cAb12Zx90QwErTyUi
      qwen3-reranker keys revoke qr_live_4f9cAb12
    """
    with _opened(store) as opened:
        before = _chosen(opened, wanted)
        after = opened.revoke(before.id)
    if before.revoked is not None:
        note(f"{before.id} was revoked before")
    print(f"{after.id} ({visible(after.name)}) is revoked since {_written(after.revoked)}")


@keys.command("top-up", cls=Verb)
@declared
def top_up(wanted: Wanted, dollars: Annotated[str, Argument(metavar="DOLLARS")], *, store: StoreOptions) -> None:
    """Give a key more credit; servers count it within seconds.

    KEY is its id, the beginning that `list` shows, or the key itself. A key that was made without --credit has no
    limit.

    Examples:
      qwen3-reranker keys top-up key_4f9cAb12Zx90QwErTyUi 10
    """
    amount = _nanodollars("DOLLARS", dollars)
    if amount == 0:
        raise InputError("DOLLARS must be above 0")
    with _opened(store) as opened:
        before = _chosen(opened, wanted)
        if before.credit_granted is None:
            raise InputError(f"{before.id} has no credit limit, so there is nothing to top up")
        if before.credit_granted + amount > _MOST_DOLLARS * NANODOLLARS:
            raise InputError(f"a key's credit is at most {_MOST_DOLLARS:,} dollars in all")
        after = opened.top_up(before.id, amount)
    print(f"{after.id} ({visible(after.name)}) has {_dollars(after.credit_left):,.4f} dollars left")


@contextmanager
def _opened(options: StoreOptions, *, create: bool = False) -> Iterator[Store]:
    try:
        from qwen3_reranker.serve.accounts.store import Store
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f'keys need {error.name}, which is not installed: pip install "qwen3_reranker[serve]"'
        ) from None
    address = os.environ.get(STORE_VARIABLE, DEFAULT_STORE) if options.keys is None else options.keys
    pepper = os.environ.get(PEPPER_VARIABLE, "").encode("utf-8", "surrogateescape")
    store = Store(address, pepper or None, create=create)
    try:
        yield store
    finally:
        store.close()


def _chosen(store: Store, wanted: str) -> KeyRecord:
    """The key that was named. Raises InputError for none and for several, without the name in its text."""
    try:
        found = store.find(store.digest(wanted.encode("utf-8", "surrogateescape")))
        records = [found] if found else []
    except Problem:  # it is not of a whole key's form
        records = [each for each in store.all_keys() if _is_named(each, wanted)]
    if not records:
        raise InputError(f"no key at {store.name} is the one named: give its id, as `keys list` shows it")
    if len(records) > 1:
        raise InputError(f"{len(records)} keys begin so: {', '.join(each.id for each in records)}")
    return records[0]


def _is_named(record: KeyRecord, wanted: str) -> bool:
    names = (record.id, record.shown)
    return wanted in names or (len(wanted) >= _SHORTEST_BEGINNING and any(name.startswith(wanted) for name in names))


def _facts(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "shown": record.shown,
        "state": record.state(time.time()),
        "scopes": list(record.scopes),
        "models": None if record.models is None else list(record.models),
        "requests_per_minute": record.limits.requests,
        "tokens_per_minute": record.limits.tokens,
        "concurrency": record.limits.concurrency,
        "credit_granted": _dollars(record.credit_granted),
        "credit_used": _dollars(record.credit_used),
        "credit_left": _dollars(record.credit_left),
        "created": _written(record.created),
        "expires": _written(record.expires),
        "revoked": _written(record.revoked),
        "last_used": _written(record.last_used),
    }


def _dollars(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _written(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bounded(flag: str, value: int | None) -> int | None:
    if value is not None and value > _HIGHEST_LIMIT:
        raise InputError(f"{flag} must be at most {_HIGHEST_LIMIT:,}; leave it out for no limit")
    return value


def _scope(name: str) -> str:
    if name not in SCOPES:
        raise unknown("--scopes", name, SCOPES)
    return name


def _names(flag: str, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    if not all(names) or visible(value) != value:
        raise InputError(f"{flag} must be names with commas between them")
    return list(dict.fromkeys(names))


def _nanodollars(flag: str, value: str) -> int:
    try:
        amount = Decimal(value.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= _MOST_DOLLARS):
        raise InputError(f"{flag} must be dollars from 0 to {_MOST_DOLLARS:,}, such as 25 or 0.50; got {value!r}")
    nanodollars = amount * NANODOLLARS
    if nanodollars != int(nanodollars):
        raise InputError(f"{flag} is kept to a billionth of a dollar; got {value!r}")
    return int(nanodollars)


def _moment(value: str) -> int:
    """The Unix time that --expires names."""
    if span := re.fullmatch(r"([0-9]{1,5})([hd])", value):
        moment = time.time() + int(span[1]) * _SECONDS[span[2]]
    else:
        try:
            day = datetime.fromisoformat(value)
            moment = (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise InputError(f"--expires must be such as 12h, 30d or 2027-01-31, got {value!r}") from None
    if moment <= time.time():
        raise InputError(f"--expires must be in the future, got {value!r}")
    return int(moment)
