"""Drain rate: how many tokens a second the network has lately done, from which waiting times are foretold."""

from __future__ import annotations

# What a batch adds to the past weighs this much less when the next has come.
_FADING = 0.9


class DrainRate:
    """Tokens a second while there was work, recent batches above all; not safe for threads by itself."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """A batch has ended."""
        self._tokens = self._tokens * _FADING + tokens
        self._seconds = self._seconds * _FADING + seconds

    def seconds(self, tokens: int) -> float:
        """How long that many tokens will take; 0 before anything is known."""
        return tokens * self._seconds / self._tokens if self._tokens else 0.0
