"""Prices: a model and its tokens -> the exact cost of a request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.key_records import NANODOLLARS

_MILLION = 1_000_000


class Prices:
    """Dollars per million prompt tokens of each model id. A model that is absent or None is free."""

    def __init__(self, per_million: Mapping[str, Decimal | None]) -> None:
        """Raises InputError for a price that is not a finite number of at least 0."""
        for model, price in per_million.items():
            if price is not None and not (price.is_finite() and price >= 0):
                raise InputError(f"the price of {model} must be a number of at least 0, got {price}")
        self._per_million = {model: price for model, price in per_million.items() if price is not None}

    def cost(self, model: str, prompt_tokens: int) -> int | None:
        """Nanodollars of one request, rounded up; None if the model has no price."""
        price = self._per_million.get(model)
        return None if price is None else math.ceil(Fraction(price) * prompt_tokens * NANODOLLARS / _MILLION)


def sum_of_costs(*costs: int | None) -> int | None:
    """Nanodollars of several requests; None if none of them has a price."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def per_token(price: Decimal) -> str:
    """Dollars for a million tokens -> dollars for one, as OpenRouter's catalogue gives it."""
    return _plain(price.scaleb(-6))


def dollars(nanodollars: int) -> str:
    """An amount in dollars as an exact decimal without an exponent."""
    return _plain(Decimal(nanodollars).scaleb(-9))


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
