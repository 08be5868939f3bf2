"""QuotaState: what one key has used of its limits, credit and monthly budget on this server."""

from __future__ import annotations

from qwen3_reranker.serve.accounts.bucket import Bucket
from qwen3_reranker.serve.accounts.key_records import Credit, KeyLimits, KeyRecord, UsageRow, month_start

# Longer than a bucket takes to fill, and longer than an older record of the key is cached.
_IDLE_SECONDS = 600.0


class QuotaState:
    """Limits, credit and budget of one key on this server; not thread-safe.

    credit: from the store. unwritten: nanodollars of settled requests that the store may not hold yet; month_unwritten:
    those of `month`, the newest month seen. reserved: of running requests. unconfirmed: the store may already hold some
    of the unwritten amounts.
    """

    __slots__ = (
        "credit", "in_flight", "last_request", "month", "month_unwritten", "requests", "reserved", "tokens",
        "unconfirmed", "unwritten",
    )  # fmt: skip

    def __init__(self, key: KeyRecord, now: float) -> None:
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.set_limits(key.limits, now)
        self.credit = key.credit
        self.last_request = now
        self.in_flight = 0
        self.reserved = 0
        self.unwritten = 0
        self.month = key.month
        self.month_unwritten = 0
        self.unconfirmed = False

    def set_limits(self, limits: KeyLimits, now: float) -> None:
        """Use the key's limits as they are now."""
        self.requests = _resized(self.requests, limits.requests, now)
        self.tokens = _resized(self.tokens, limits.tokens, now)

    def credit_covers(self, cost: int) -> bool:
        """Whether the credit is enough for a further cost in nanodollars."""
        spent = self.credit.used + self.unwritten + self.reserved
        return cost == 0 or self.credit.granted is None or spent + cost <= self.credit.granted

    def budget_covers(self, cost: int, moment: float) -> bool:
        """Whether the budget of the moment's month is enough for a further cost in nanodollars."""
        if cost == 0 or self.credit.budget is None:
            return True
        self._begin_month(month_start(moment))
        written = self.credit.month_used if self.credit.month == self.month else 0
        # Running requests may be settled in this month, whenever they began.
        return written + self.month_unwritten + self.reserved + cost <= self.credit.budget

    def add_unwritten(self, row: UsageRow) -> None:
        """Count a settled request."""
        self.unwritten += row.cost
        month = month_start(row.time)
        self._begin_month(month)
        if month == self.month:
            self.month_unwritten += row.cost

    def remove_unwritten(self, row: UsageRow) -> None:
        """Stop counting a settled request that is in the store."""
        self.unwritten -= row.cost
        if month_start(row.time) == self.month:
            self.month_unwritten -= row.cost
        self.unconfirmed = False

    def refresh(self, credit: Credit) -> None:
        """Take newer credit and budget from the store."""
        # Used amounts only grow, so of two reads that overtake each other the larger one is newer.
        month, month_used = max((credit.month, credit.month_used), (self.credit.month, self.credit.month_used))
        used = max(credit.used, self.credit.used)
        self.credit = Credit(credit.granted, used, credit.budget, month, month_used)
        self._begin_month(month)

    def is_idle(self, now: float) -> bool:
        """Whether nothing is lost when this state is dropped."""
        return not (self.in_flight or self.unwritten) and now - self.last_request > _IDLE_SECONDS

    def _begin_month(self, month: int) -> None:
        if month > self.month:
            self.month, self.month_unwritten = month, 0


def _resized(bucket: Bucket | None, limit: int | None, now: float) -> Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return Bucket(limit, now)
    if bucket.limit != limit:
        bucket.resize(limit, now)
    return bucket
