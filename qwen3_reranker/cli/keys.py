"""`keys`: who may use a server, how much, and until when; made, listed, revoked and topped up here."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.help import Group, Verb
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.serve.accounts.key_records import DEFAULT_SCOPES, NANODOLLARS, SCOPES, KeyLimits, KeyRecord
from qwen3_reranker.serve.problems import Problem

if TYPE_CHECKING:
    from qwen3_reranker.serve.accounts.store import Store

FORMATS = ("table", "json")
PLACE_VARIABLE = "QWEN3_RERANKER_KEYS"
PEPPER_VARIABLE = "QWEN3_RERANKER_PEPPER"
DEFAULT_PLACE = "keys.db"
_MOST_DOLLARS = 1_000_000_000
_LONGEST_NAME = 100
_SECONDS = {"h": 3600, "d": 86_400}
_HIGHEST_LIMIT = 10**12
# A beginning that names a key: what all keys begin with, and four characters of its own.
_SHORTEST_BEGINNING = 12

keys = typer.Typer(cls=Group)

Place = Annotated[
    str | None,
    flags.flag(
        "Store",
        "--keys",
        value="PATH|URL",
        meaning=f"Where keys are: a file, or postgresql://... [{PLACE_VARIABLE}, or {DEFAULT_PLACE}]",
    ),
]
Wanted = Annotated[str, Argument(metavar="KEY")]
AsJson = Annotated[bool, flags.flag("Output", "--json", meaning="Print a JSON object, the key in it.")]
Format = Annotated[str | None, flags.format_flag(FORMATS, what="them")]
Scopes = Annotated[
    str,
    flags.flag(
        "Rights",
        "--scopes",
        value="NAME,...",
        meaning=f"What it may do, of {', '.join(SCOPES)}. [{','.join(DEFAULT_SCOPES)}]",
    ),
]
Models = Annotated[
    str | None,
    flags.flag("Rights", "--models", value="ID,...", meaning="The models it may use. [all]"),
]
Expires = Annotated[
    str | None,
    flags.flag(
        "Rights",
        "--expires",
        value="TIME",
        meaning="When it ends: in 12h or 30d, or on 2027-01-31 as the day begins in UTC. [never]",
    ),
]
Credit = Annotated[
    str | None,
    flags.flag("Limits", "--credit", value="DOLLARS", meaning="Prepaid; 0 can be topped up. [no limit]"),
]


def _limit(name: str, what: str) -> Any:
    return flags.flag("Limits", name, value="N", meaning=f"{what} [no limit]")


RequestsPerMinute = Annotated[
    int | None, _limit("--requests-per-minute", "Requests per minute, counted on each server.")
]
TokensPerMinute = Annotated[int | None, _limit("--tokens-per-minute", "Prompt tokens per minute, likewise.")]
Concurrency = Annotated[int | None, _limit("--concurrency", "Requests that run at once, likewise.")]


@keys.callback(invoke_without_command=True)
def _keys(context: typer.Context) -> None:
    """Make, list, revoke and top up the keys of a server.

    Keys are kept in a SQLite file or in a Postgres database that several servers share; of a key itself only a hash
    is kept. Name the place with --keys or QWEN3_RERANKER_KEYS. If QWEN3_RERANKER_PEPPER is set, hashes are made under
    it, and server and `keys` need the same one.

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
def create(
    name: Annotated[str, Argument(metavar="NAME")],
    *,
    place: Place = None,
    scopes: Scopes = ",".join(DEFAULT_SCOPES),
    models: Models = None,
    expires: Expires = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    concurrency: Concurrency = None,
    credit: Credit = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once.

    NAME says whose it is. Standard output is the key alone, so it can be kept where it belongs at once:

    Examples:
      qwen3-reranker keys create "search team"
      qwen3-reranker keys create ci --expires 30d --scopes rerank --concurrency 2 > ci.key
      qwen3-reranker keys create ann --credit 25 --keys postgresql://reranker@db.internal/reranker
    """
    options: dict[str, Any] = {
        "scopes": [flags.one_of("--scopes", each, SCOPES) for each in _names("--scopes", scopes)],
        "models": None if models is None else _names("--models", models),
        "expires": None if expires is None else _moment(expires),
        "credit": None if credit is None else _nanodollars("--credit", credit),
    }
    limits = KeyLimits(
        _bounded("--requests-per-minute", requests_per_minute),
        _bounded("--tokens-per-minute", tokens_per_minute),
        _bounded("--concurrency", concurrency),
    )
    if not name.strip() or len(name) > _LONGEST_NAME or visible(name) != name:
        raise InputError(f"NAME must be 1 to {_LONGEST_NAME} visible characters")
    with _store(place, create=True) as store:
        text, record = store.create_key(name, limits=limits, **options)
        if as_json:
            print(json.dumps({"key": text, **_facts(record)}, indent=2))
        else:
            print(text)
        note(f"this is {record.id}; the key is shown this once, and {store.name} keeps a hash of it")


@keys.command("list", cls=Verb)
def list_keys(*, place: Place = None, form: Format = None) -> None:
    """List all keys: what they may do, what they used, what is left.

    Examples:
      qwen3-reranker keys list
      qwen3-reranker keys list --format json | jq '.[] | select(.state == "active")'
    """
    form = flags.chosen_format(form, FORMATS)
    with _store(place) as store:
        records = store.all_keys()
    if form == "json":
        print(json.dumps([_facts(record) for record in records], indent=2))
    else:
        from qwen3_reranker.cli.keys_table import write_keys

        write_keys(records, sys.stdout)


@keys.command("revoke", cls=Verb)
def revoke(wanted: Wanted, *, place: Place = None) -> None:
    """End a key for good; servers learn of it within seconds.

    KEY is its id, the beginning that `list` shows, or the key itself.

    Examples:
      qwen3-reranker keys revoke key_4f9cAb12Zx90QwErTyUi
      qwen3-reranker keys revoke qr_live_4f9cAb12
    """
    with _store(place) as store:
        before = _chosen(store, wanted)
        after = store.revoke(before.id)
    if before.revoked is not None:
        note(f"{before.id} was revoked before")
    print(f"{after.id} ({visible(after.name)}) is revoked since {_written(after.revoked)}")


@keys.command("top-up", cls=Verb)
def top_up(wanted: Wanted, dollars: Annotated[str, Argument(metavar="DOLLARS")], *, place: Place = None) -> None:
    """Grant a key more credit; servers learn of it within seconds.

    KEY is its id, the beginning that `list` shows, or the key itself. A key that was made without --credit has no
    limit, and needs none.

    Examples:
      qwen3-reranker keys top-up key_4f9cAb12Zx90QwErTyUi 10
    """
    amount = _nanodollars("DOLLARS", dollars)
    if amount == 0:
        raise InputError("DOLLARS must be above 0")
    with _store(place) as store:
        before = _chosen(store, wanted)
        if before.credit_granted is None:
            raise InputError(f"{before.id} has no credit limit, so there is nothing to top up")
        if before.credit_granted + amount > _MOST_DOLLARS * NANODOLLARS:
            raise InputError(f"a key's credit is at most {_MOST_DOLLARS:,} dollars in all")
        after = store.top_up(before.id, amount)
    print(f"{after.id} ({visible(after.name)}) has {_dollars(after.credit_left):,.4f} dollars left")


@contextmanager
def _store(place: str | None, *, create: bool = False) -> Iterator[Store]:
    try:
        from qwen3_reranker.serve.accounts.store import Store
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f'keys need {error.name}, which is not installed: pip install "qwen3_reranker[serve]"'
        ) from None
    address = os.environ.get(PLACE_VARIABLE, DEFAULT_PLACE) if place is None else place
    pepper = os.environ.get(PEPPER_VARIABLE, "").encode("utf-8", "surrogateescape")
    store = Store(address, pepper or None, create=create)
    try:
        yield store
    finally:
        store.close()


def _chosen(store: Store, wanted: str) -> KeyRecord:
    """The key that is meant; raises InputError for none and for several, and never says what was given."""
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
    return flags.at_least_one(flag, value)


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
        raise InputError(f"--expires must lie ahead, got {value!r}")
    return int(moment)
