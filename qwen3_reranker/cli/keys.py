"""`keys`: make, list, change, rotate, revoke and top up the keys of a server."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer import Argument

from qwen3_reranker.cli.declared_options import Given, declared
from qwen3_reranker.cli.help import Verb, VerbGroup
from qwen3_reranker.cli.shared_options import PrintOptions
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.option_fields import option
from qwen3_reranker.serve.accounts.key_fields import (
    OPTIONAL_FIELDS,
    KeyFieldError,
    checked_fields,
    creation,
    dollar_amount,
    seconds_of,
)
from qwen3_reranker.serve.accounts.key_records import DEFAULT_SCOPES, NANODOLLARS, SCOPES, KeyRecord
from qwen3_reranker.serve.problems import Problem

if TYPE_CHECKING:
    from qwen3_reranker.serve.accounts.store import Store

STORE_VARIABLE = "QWEN3_RERANKER_KEYS"
PEPPER_VARIABLE = "QWEN3_RERANKER_PEPPER"
DEFAULT_STORE = "keys.db"
# A flag's value that takes a limit away.
_NO_LIMIT = "none"
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
    scopes: str | None = option(
        None,
        f"What it may do, of {', '.join(SCOPES)}.",
        unit="NAME,...",
        shown=",".join(DEFAULT_SCOPES),
        group="Rights",
    )
    models: str | None = option(None, "The models it may use.", unit="ID,...", shown="all", group="Rights")
    expires: str | None = option(
        None,
        "When it ends: in 12h or 30d, or on 2027-01-31 as the day begins in UTC.",
        unit="TIME",
        shown="never",
        group="Rights",
    )
    requests_per_minute: str | None = option(
        None, "Requests per minute, counted on each server.", unit="N", shown="no limit"
    )
    tokens_per_minute: str | None = option(
        None, "Prompt tokens per minute, counted on each server.", unit="N", shown="no limit"
    )
    concurrency: str | None = option(
        None, "Requests that run at the same time, counted on each server.", unit="N", shown="no limit"
    )
    credit: str | None = option(
        None, "Prepaid credit, all that was ever granted; 0 can be topped up.", unit="DOLLARS", shown="no limit"
    )
    budget: str | None = option(None, "What it may spend in a month of UTC.", unit="DOLLARS", shown="no limit")


@dataclass(frozen=True, kw_only=True)
class ChangeOptions(KeyOptions):
    """What to change of a key."""

    name: str | None = option(None, "Who or what uses it.", unit="NAME", group="Rights", shown="as it is")


@dataclass(frozen=True, kw_only=True)
class NewKeyOutput:
    """How a new key is printed."""

    json: bool = option(False, "Print a JSON object with the key in it.", group="Output")


@dataclass(frozen=True, kw_only=True)
class RotationOptions:
    """What becomes of the text before."""

    grace: str = option("0", "How long the old key stays valid, such as 10m, 12h or 30d.", unit="TIME", group="Rights")


@keys.callback(invoke_without_command=True)
def _keys(context: typer.Context) -> None:
    """Make, list, change, rotate, revoke and top up the keys of a server.

    Keys are in a SQLite file, or in a Postgres database that several servers share; only a hash of each key is stored.
    Name the store with --keys or QWEN3_RERANKER_KEYS. QWEN3_RERANKER_PEPPER is a secret that is mixed into the hashes:
    the server and `keys` need the same one.

    Examples:
      qwen3-reranker keys create "search team" --requests-per-minute 600 --credit 25
      qwen3-reranker keys list
      qwen3-reranker keys change key_4f9cAb12Zx90QwErTyUi --budget 50
      qwen3-reranker keys top-up key_4f9cAb12Zx90QwErTyUi 10
      qwen3-reranker keys revoke qr_live_4f9cAb12
      qwen3-reranker serve --keys keys.db
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@keys.command("create", cls=Verb)
@declared
def create(
    name: Annotated[str, Argument(metavar="NAME")],
    *,
    store: StoreOptions,
    options: Annotated[dict[str, Any], Given(KeyOptions)],
    output: NewKeyOutput,
) -> None:
    """Make a key and print it; it cannot be shown again.

    NAME says who or what uses it. The first key makes the store. Standard output is only the key, so a command can
    store it:

    Examples:
      qwen3-reranker keys create "search team"
      qwen3-reranker keys create ci --expires 30d --scopes rerank --concurrency 2 > ci.key
      qwen3-reranker keys create ann --credit 25 --keys postgresql://reranker@db.internal/reranker
    """
    with _flags():
        fields = creation(checked_fields({"name": name, **_values(options)}, time.time()))
    with _opened(store, create=True) as opened:
        text, record = opened.create_key(**fields)
        _print_new(text, record, output)
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
    if over := [record.id for record in records if (record.credit_left or 0) < 0 or (record.budget_left or 0) < 0]:
        note(
            f"{', '.join(over)} spent more than was left: servers that share a store learn of each other's spending "
            "only after usage_flush and keys_cache seconds"
        )


@keys.command("change", cls=Verb)
@declared
def change(wanted: Wanted, *, store: StoreOptions, options: Annotated[dict[str, Any], Given(ChangeOptions)]) -> None:
    """Change what a key may do and how much; servers follow within seconds.

    KEY is its id, the beginning that `list` shows, or the key itself. What is not named stays as it is; `none` takes a
    limit away. Bracketed defaults below are those of a new key.

    Examples:
      qwen3-reranker keys change key_4f9cAb12Zx90QwErTyUi --budget 50 --requests-per-minute none
      qwen3-reranker keys change qr_live_4f9cAb12 --name "search team" --expires 2027-01-31
    """
    with _flags("--name"):
        fields = checked_fields(_values(options), time.time())
    if not fields:
        raise InputError("nothing to change: name a flag, such as --budget 50")
    with _opened(store) as opened:
        after = opened.change_key(_chosen(opened, wanted).id, fields)
    print(f"{after.id} ({visible(after.name)}) has changed")


@keys.command("rotate", cls=Verb)
@declared
def rotate(wanted: Wanted, *, store: StoreOptions, options: RotationOptions, output: NewKeyOutput) -> None:
    """Give a key a new text and print it; name, limits, credit and usage stay.

    KEY is its id, the beginning that `list` shows, or the key itself. Servers refuse the old text within seconds, or
    after --grace. Only one old text is valid at a time.

    Examples:
      qwen3-reranker keys rotate key_4f9cAb12Zx90QwErTyUi --grace 12h > new.key
    """
    with _flags():
        grace = seconds_of("grace", options.grace)
    with _opened(store) as opened:
        text, record = opened.rotate(_chosen(opened, wanted).id, grace)
        _print_new(text, record, output)
        note(f"this is {record.id}; the key cannot be shown again; the old one is valid for {grace:,} seconds more")


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
    with _flags():
        amount = dollar_amount("DOLLARS", dollars)
    if amount == 0:
        raise InputError("DOLLARS must be above 0")
    with _opened(store) as opened:
        after = opened.top_up(_chosen(opened, wanted).id, amount)
    print(f"{after.id} ({visible(after.name)}) has {_dollars(after.credit_left):,.4f} dollars left")


@contextmanager
def _flags(name: str = "NAME") -> Iterator[None]:
    """Errors of a key's fields name the flag, or the argument."""
    try:
        yield
    except KeyFieldError as error:
        flags = {"name": name, "DOLLARS": "DOLLARS"}
        flag = flags.get(error.field, f"--{error.field.replace('_', '-')}")
        raise InputError(f"{flag} {error.rule}") from None


def _values(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a key that flags gave."""
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name in OPTIONAL_FIELDS and text == _NO_LIMIT:
            values[name] = None
        else:
            values[name] = text.split(",") if name in ("scopes", "models") else text
    return values


def _print_new(text: str, record: KeyRecord, output: NewKeyOutput) -> None:
    print(json.dumps({"key": text, **_facts(record)}, indent=2) if output.json else text)


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
        "budget": _dollars(record.budget),
        "budget_left": _dollars(record.budget_left),
        "created": _written(record.created),
        "expires": _written(record.expires),
        "revoked": _written(record.revoked),
        "last_used": _written(record.last_used),
    }


def _dollars(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _written(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
