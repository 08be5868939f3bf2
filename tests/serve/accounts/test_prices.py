"""What requests cost is exact, and rounded up once."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.accounts.prices import Prices, dollars, per_token


@given(st.decimals(0, 1000, places=9), st.integers(0, 10**9))
def test_a_cost_is_the_price_of_its_tokens_rounded_up_to_a_nanodollar(price: Decimal, tokens: int) -> None:
    cost = Prices({"m": price}).cost("m", tokens)
    assert cost is not None
    assert 0 <= cost - Fraction(price) * tokens * 1000 < 1


def test_a_model_without_a_price_has_no_cost() -> None:
    prices = Prices({"free": None, "zero": Decimal(0), "paid": Decimal("0.10")})
    assert (prices.cost("free", 1000), prices.cost("unknown", 1000), prices.cost("zero", 1000)) == (None, None, 0)
    assert prices.cost("paid", 381) == 38_100
    assert (per_token(Decimal("0.10")), per_token(Decimal(0))) == ("0.0000001", "0")


@pytest.mark.parametrize("price", ["-0.1", "NaN", "Infinity"])
def test_a_price_that_is_no_price_is_refused(price: str) -> None:
    with pytest.raises(InputError, match="the price of m must be a number of at least 0"):
        Prices({"m": Decimal(price)})


@given(st.integers(0, 10**18))
def test_dollars_are_written_exactly_and_without_an_exponent(nanodollars: int) -> None:
    written = dollars(nanodollars)
    assert Fraction(written) == Fraction(nanodollars, 10**9)
    assert set(written) <= set("0123456789.")


def test_dollars_end_in_no_zeros_that_say_nothing() -> None:
    assert [dollars(each) for each in (0, 38_100, 10**9, 10 * 10**9, 1)] == ["0", "0.0000381", "1", "10", "0.000000001"]
