"""Token bucket: a rate per minute -> whether or when an amount may pass."""

from __future__ import annotations

import math

_MINUTE = 60.0
# A share of the limit: more than float64 loses, so that an amount passes after the wait that was announced.
_SLACK = 1e-7


class Bucket:
    """Holds `limit` units when full, and fills in a minute. Times are seconds and never go back.

    So in any T seconds at most limit * (1 + T / 60) units pass.
    """

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = float(limit)
        self._seen = now

    def wait(self, amount: int, now: float) -> float:
        """Seconds until the amount is available, infinite if it never is."""
        self._fill(now)
        if amount > self.limit:
            return math.inf
        missing = amount - self._level
        return 0.0 if missing <= _SLACK * self.limit else missing * _MINUTE / self.limit

    def take(self, amount: int) -> None:
        """Take an amount, even more than is available; a negative amount is given back."""
        self._level = min(float(self.limit), self._level - amount)

    def resize(self, limit: int, now: float) -> None:
        """Change the limit; what was taken stays taken."""
        self._fill(now)
        self._level += limit - self.limit
        self.limit = limit

    def remaining(self, now: float) -> int:
        """Whole units that may pass now."""
        self._fill(now)
        return max(0, math.floor(self._level + _SLACK * self.limit))

    def reset(self, now: float) -> float:
        """Seconds until it is full."""
        self._fill(now)
        return (self.limit - self._level) * _MINUTE / self.limit if self.limit else 0.0

    def _fill(self, now: float) -> None:
        self._level = min(float(self.limit), self._level + (now - self._seen) * self.limit / _MINUTE)
        self._seen = now
