"""Fields of a key, as the command line or JSON gives them -> checked columns of the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.key_records import MOST_DOLLARS, NANODOLLARS, SCOPES, KeyLimits

LIMIT_FIELDS = ("requests_per_minute", "tokens_per_minute", "concurrency")
#: Fields for which None means no limit: no end, all models.
OPTIONAL_FIELDS = frozenset({"models", "expires", *LIMIT_FIELDS, "credit", "budget"})
LONGEST_NAME = 100
HIGHEST_LIMIT = 10**12
# Years that every database and every client can write.
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class KeyFieldError(InputError):
    """A value that a key cannot have. rule: what it must be, without the value itself."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


def checked_fields(given: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Columns of a key, from fields of any of these names; raises KeyFieldError.

    name; scopes and models: lists of names; expires: a Unix time, a date or time in ISO's form, or a span such as 30d;
    LIMIT_FIELDS: whole numbers; credit and budget: dollars, as a number or as text.
    """
    columns = {}
    for field, value in given.items():
        if value is None and field in OPTIONAL_FIELDS:
            checked = None
        elif field == "expires":
            checked = _moment(field, value, now)
        else:
            checked = _CHECKS[field](field, value)
        columns["credit_granted" if field == "credit" else field] = checked
    return columns


def creation(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of Store.create_key for checked columns."""
    fields = dict(columns)
    limits = KeyLimits(*(fields.pop(field, None) for field in LIMIT_FIELDS))
    return {"credit": fields.pop("credit_granted", None), "limits": limits, **fields}


def dollar_amount(field: str, value: object) -> int:
    """Nanodollars of an amount in dollars; raises KeyFieldError."""
    try:
        # A number of JSON is as exact as its digits: 0.1 is a tenth.
        amount = Decimal("NaN" if isinstance(value, bool) else str(value).removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 <= amount <= MOST_DOLLARS):
        raise KeyFieldError(field, f"must be dollars from 0 to {MOST_DOLLARS:,}, such as 25 or 0.50")
    nanodollars = amount * NANODOLLARS
    if nanodollars != int(nanodollars):
        raise KeyFieldError(field, "must be kept to a billionth of a dollar")
    return int(nanodollars)


def seconds_of(field: str, value: object) -> int:
    """Seconds of a whole number or of a span such as 90s, 10m, 12h or 30d; raises KeyFieldError."""
    span = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
    seconds = int(span[1]) * _UNIT_SECONDS[span[2] or "s"] if span else -1
    if not 0 <= seconds <= _LATEST // 2:
        raise KeyFieldError(field, "must be a span such as 10m, 12h or 30d")
    return seconds


def _moment(field: str, value: object, now: float) -> int:
    moment: float
    if isinstance(value, int) and not isinstance(value, bool):
        moment = value
    elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}[hd]", value):
        moment = now + seconds_of(field, value)
    else:
        try:
            day = datetime.fromisoformat(value if isinstance(value, str) else "")
            moment = (day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise KeyFieldError(field, "must be such as 12h, 30d or 2027-01-31") from None
    if not now < moment <= _LATEST:
        raise KeyFieldError(field, "must be in the future")
    return int(moment)


def _name(field: str, value: object) -> str:
    if not (isinstance(value, str) and value.strip() and len(value) <= LONGEST_NAME and value.isprintable()):
        raise KeyFieldError(field, f"must be 1 to {LONGEST_NAME} visible characters")
    return value


def _names(field: str, value: object) -> list[str]:
    names = value if isinstance(value, Sequence) and not isinstance(value, str) else []
    if not names or not all(isinstance(name, str) and name.strip() and name.isprintable() for name in names):
        raise KeyFieldError(field, "must be names, at least one")
    return list(dict.fromkeys(name.strip() for name in names))


def _scopes(field: str, value: object) -> list[str]:
    names = _names(field, value)
    if not set(names) <= set(SCOPES):
        raise KeyFieldError(field, f"must be of {', '.join(SCOPES)}")
    return names


def _limit(field: str, value: object) -> int:
    digits = value.replace(",", "") if isinstance(value, str) else ""
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= HIGHEST_LIMIT:
        raise KeyFieldError(field, f"must be a whole number from 1 to {HIGHEST_LIMIT:,}")
    return number


_CHECKS: dict[str, Callable[[str, object], Any]] = {
    "name": _name,
    "scopes": _scopes,
    "models": _names,
    **dict.fromkeys(LIMIT_FIELDS, _limit),
    "credit": dollar_amount,
    "budget": dollar_amount,
}
