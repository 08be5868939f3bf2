"""Records of accounts: a key's rights and its usage. Money is nanodollars, times are Unix seconds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from qwen3_reranker.serve.problems import not_permitted

NANODOLLARS = 1_000_000_000
SCOPES = ("rerank", "embeddings", "metrics", "admin")
DEFAULT_SCOPES = ("rerank", "embeddings")


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
    None for no limit; credit_used: the cost of its written usage.
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

    def state(self, now: float) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    @property
    def credit_left(self) -> int | None:
        """Nanodollars, None for no limit."""
        return None if self.credit_granted is None else self.credit_granted - self.credit_used

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
    """One answered request. duration is in seconds, cost in nanodollars; `id` makes a second write harmless."""

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
    """A key's credit in the store, in nanodollars; granted is None for no limit."""

    granted: int | None
    used: int


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Usage of one model in the hour or day that begins at `start`."""

    start: int
    model: str
    requests: int
    documents: int
    prompt_tokens: int
    computed_tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A key, and its cost since midnight, Monday and the first (UTC), in nanodollars."""

    key: KeyRecord
    today: int
    this_week: int
    this_month: int
