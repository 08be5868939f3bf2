"""Records of accounts: a key's rights and its usage. Money is nanodollars, times are Unix seconds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from qwen3_reranker.serve.problems import not_permitted

NANODOLLARS = 1_000_000_000
#: The most credit and the largest budget of a key.
MOST_DOLLARS = 1_000_000_000
SCOPES = ("rerank", "embeddings", "metrics", "admin")
DEFAULT_SCOPES = ("rerank", "embeddings")


def month_start(moment: float) -> int:
    """The first second of a moment's calendar month in UTC."""
    day = datetime.fromtimestamp(moment, UTC)
    return int(day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def month_end(start: int) -> int:
    """The first second after the month that begins at `start`."""
    return month_start(start + 32 * 86_400)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of a key on each server, None for no limit. The two rates are per minute."""

    requests: int | None = None
    tokens: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key in the store.

    shown: its prefix, for people. models: ids that it may use, None for all. credit_granted: prepaid nanodollars,
    None for no limit; credit_used: the cost of its written usage. budget: nanodollars for each calendar month in UTC,
    None for no limit; month_used: the cost of its written usage since `month`. Both are 0 without a budget.
    """

    id: str
    name: str
    shown: str
    created: int
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    models: tuple[str, ...] | None = None
    expires: int | None = None
    revoked: int | None = None
    last_used: int | None = None
    limits: KeyLimits = KeyLimits()
    credit_granted: int | None = None
    credit_used: int = 0
    budget: int | None = None
    month: int = 0
    month_used: int = 0

    def state(self, now: float) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    @property
    def credit_left(self) -> int | None:
        """Nanodollars, None for no limit."""
        return None if self.credit_granted is None else self.credit_granted - self.credit_used

    @property
    def credit(self) -> Credit:
        """What the key may spend and has spent."""
        return Credit(self.credit_granted, self.credit_used, self.budget, self.month, self.month_used)

    @property
    def budget_left(self) -> int | None:
        """Nanodollars of this month, None for no limit."""
        return None if self.budget is None else self.budget - self.month_used

    def require_scope(self, scope: str) -> None:
        """Raise Problem 403 unless the key has this scope."""
        if scope not in self.scopes:
            raise not_permitted(f"to use routes that need the scope {scope}")

    def require_model(self, model: str) -> None:
        """Raise Problem 403 unless the key may use the model with this id."""
        if self.models is not None and model.lower() not in map(str.lower, self.models):
            raise not_permitted("to use this model")


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One request that is charged. duration is in seconds, cost in nanodollars; `id` makes a second write harmless.

    status: 200, or what ended the request early; then it counts only what had been computed.
    """

    time: int
    key_id: str
    model: str
    route: str
    request_id: str
    documents: int
    prompt_tokens: int
    computed_tokens: int
    cost: int
    duration: float
    status: int = 200
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Credit:
    """A key's credit and monthly budget in the store, in nanodollars; granted and budget are None for no limit.

    month_used: since `month`, the first second of a month.
    """

    granted: int | None
    used: int
    budget: int | None = None
    month: int = 0
    month_used: int = 0


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Usage of one model by one key in the hour or day that begins at `start`."""

    start: int
    model: str
    requests: int
    documents: int
    prompt_tokens: int
    computed_tokens: int
    cost: int
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key, and its cost since midnight, Monday and the first (UTC), in nanodollars."""

    key: KeyRecord
    today: int
    this_week: int
    this_month: int
