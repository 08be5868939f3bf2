"""Intervals hold what they promise, p values are those of all flips, and the same seed gives the same numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.significance import best_of_p, holm, mean_interval, paired_p, weighted_mean


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_p_is_the_share_of_all_flips_that_move_the_mean_as_far(rng: np.random.Generator) -> None:
    differences = rng.normal(0.3, 1.0, 11)
    flipped = [abs(np.mean(differences * signs)) for signs in itertools.product((1, -1), repeat=11)]
    exact = np.mean(np.array(flipped) >= abs(differences.mean()) - 1e-12)
    assert paired_p([differences], [1.0], draws=40_000) == pytest.approx(exact, abs=0.01)


def test_p_is_two_sided_and_is_one_where_nothing_differs(rng: np.random.Generator) -> None:
    differences = rng.normal(0.4, 1.0, 40)
    assert paired_p([differences], [1.0]) == paired_p([-differences], [1.0])
    assert paired_p([np.zeros(20)], [1.0]) == 1.0


def test_p_is_below_0_05_about_once_in_twenty_where_there_is_no_difference(rng: np.random.Generator) -> None:
    found = [paired_p([rng.normal(0, 1, 30)], [1.0], draws=400) < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(found) < 0.09


def test_the_interval_holds_the_true_mean_about_nineteen_times_of_twenty(rng: np.random.Generator) -> None:
    held = []
    for _ in range(300):
        low, high = mean_interval([rng.exponential(1.0, 60)], [1.0], draws=400)
        held.append(low <= 1.0 <= high)
    assert 0.88 < np.mean(held) <= 0.99


def test_sets_count_by_their_weight_however_many_queries_they_have() -> None:
    sets = [np.full(1000, 0.2), np.full(3, 0.8)]
    assert weighted_mean(sets, [0.5, 0.5]) == pytest.approx(0.5)
    assert mean_interval(sets, [0.5, 0.5]) == pytest.approx((0.5, 0.5))


def test_the_same_seed_gives_the_same_numbers_and_another_others(rng: np.random.Generator) -> None:
    sets = [rng.normal(0.1, 1.0, 50), rng.normal(0.1, 1.0, 20)]
    assert mean_interval(sets, [0.5, 0.5], seed=1) == mean_interval(sets, [0.5, 0.5], seed=1)
    assert mean_interval(sets, [0.5, 0.5], seed=1) != mean_interval(sets, [0.5, 0.5], seed=2)
    assert paired_p(sets, [0.5, 0.5], seed=1) == paired_p(sets, [0.5, 0.5], seed=1)


def test_holm_multiplies_the_smallest_by_their_number_and_never_turns_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_best_of_many_that_differ_by_chance_alone_is_rarely_called_better(rng: np.random.Generator) -> None:
    """Where its own p, which does not know of the others, would be fooled often."""
    fooled, corrected = [], []
    for _ in range(60):
        differences_KQ = rng.normal(0, 1, (20, 25))
        best = differences_KQ[differences_KQ.mean(axis=1).argmax()]
        fooled.append(paired_p([best], [1.0], draws=400) < 0.05)
        corrected.append(best_of_p(differences_KQ, draws=400) < 0.05)
    assert np.mean(fooled) > 0.2
    assert np.mean(corrected) < 0.17


def test_a_set_without_queries_is_refused() -> None:
    with pytest.raises(InputError, match="at least one query"):
        weighted_mean([np.array([])], [1.0])
