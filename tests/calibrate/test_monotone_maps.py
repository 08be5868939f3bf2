"""A map never falls, Platt's finds the numbers that made the labels, and the isotonic one is its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.calibrate.monotone_maps import FITS, fit_isotonic, fit_platt, pooled, sigmoid

Pairs = st.lists(st.tuples(st.integers(-40, 40), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


@given(Pairs, st.sampled_from(sorted(FITS)))
def test_a_map_never_falls_and_stays_between_0_and_1(pairs: list[tuple[int, bool]], method: str) -> None:
    logits_N, labels_N = np.array([each for each, _ in pairs]) / 4, np.array([float(label) for _, label in pairs])
    shares = FITS[method](logits_N, labels_N).probabilities(np.linspace(-50, 50, 401))
    assert (np.diff(shares) >= 0).all()
    assert shares[0] >= 0
    assert shares[-1] <= 1


def test_platt_recovers_the_numbers_that_made_the_labels() -> None:
    rng = np.random.default_rng(5)
    logits_N = rng.normal(1, 3, 60_000)
    labels_N = (rng.random(60_000) < sigmoid(0.6 * logits_N - 2.5)).astype(float)
    found = fit_platt(logits_N, labels_N)
    assert (found.slope, found.intercept) == (pytest.approx(0.6, abs=0.03), pytest.approx(-2.5, abs=0.08))


def test_platt_stays_finite_where_a_logit_parts_all_pairs_and_flat_where_logits_mislead() -> None:
    logits_N, labels_N = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0])
    assert 0 < fit_platt(logits_N, labels_N).slope < 10
    misled = fit_platt(-logits_N, labels_N)
    assert misled.slope == 0
    assert misled.probabilities(logits_N) == pytest.approx(np.full(4, 0.5))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5)), min_size=1, max_size=12))
def test_pooling_is_the_isotonic_regression_by_its_formula_of_minima_and_maxima(rows: list[tuple[int, int]]) -> None:
    means, weights = np.array([mean for mean, _ in rows]) / 8, np.array([float(weight) for _, weight in rows])

    def mean(first: int, last: int) -> float:
        return float(np.average(means[first : last + 1], weights=weights[first : last + 1]))

    size = len(rows)
    expected = [max(min(mean(a, b) for b in range(i, size)) for a in range(i + 1)) for i in range(size)]
    assert pooled(means, weights) == pytest.approx(np.array(expected))


def test_the_isotonic_map_is_the_pooled_share_at_each_logit_and_claims_no_more_than_the_pairs_show() -> None:
    logits_N = np.array([0.0, 1.0, 2.0, 2.0, 3.0, 4.0])
    labels_N = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    found = fit_isotonic(logits_N, labels_N).probabilities(np.array([-9.0, 0.0, 1.0, 2.0, 3.0, 4.0, 9.0]))
    assert found == pytest.approx([1 / 8, 1 / 8, 0.5, 0.5, 0.5, 7 / 8, 7 / 8])
