"""Drift is what its fields say, on logits whose figures were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qwen3_reranker import InputError
from qwen3_reranker.drift import MEAN_LIMIT, Drift, DriftReport, compare
from qwen3_reranker.drift.comparison import kendall_tau, top_overlap


def test_deltas_are_means_over_documents_and_order_is_a_mean_over_queries() -> None:
    before = [np.array([3.0, 2.0, 1.0, 0.0]), np.array([1.0, 0.0])]
    after = [np.array([3.0, 2.5, 1.0, -0.5]), np.array([0.0, 0.5])]
    drift = compare("int8", before, after)
    assert drift.precision == "int8"
    assert drift.mean_delta == pytest.approx((0.5 + 0.5 + 1.0 + 0.5) / 6)
    assert drift.max_delta == 1.0
    assert drift.kendall_tau == pytest.approx((1 - 1) / 2)
    assert drift.top_overlap == 1.0
    assert drift.top1_changed == 1


def test_nothing_drifts_from_itself() -> None:
    logits = [np.random.default_rng(0).standard_normal(30).astype(np.float32)]
    assert compare("float32", logits, logits) == Drift("float32", 0.0, 0.0, 1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        ([1, 2, 3], [1, 2, 3], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        # Of 6 pairs 5 agree, 1 does not.
        ([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6),
        # 5 pairs agree, 1 ties in the second alone.
        ([1, 2, 3, 4], [1, 2, 2, 3], 5 / np.sqrt(6 * 5)),
        # 4 agree, each side ties a pair of its own.
        ([1, 1, 2, 3], [1, 2, 3, 3], 4 / np.sqrt(5 * 5)),
        # 5 agree, one pair ties in both.
        ([1, 1, 2, 3], [5, 5, 6, 7], 1),
        ([1], [2], 1),
        ([1, 1], [2, 2], 1),
        ([1, 1], [2, 3], 0),
    ],
)
def test_kendall_tau_counts_pairs_and_makes_up_for_ties(first: list[float], second: list[float], tau: float) -> None:
    assert kendall_tau(np.array(first, float), np.array(second, float)) == pytest.approx(tau)
    assert kendall_tau(np.array(second, float), np.array(first, float)) == pytest.approx(tau)


def test_the_top_is_ten_or_all_and_equal_logits_keep_their_order() -> None:
    falling = np.arange(20.0)[::-1]
    moved = falling.copy()
    moved[[9, 15]] = moved[[15, 9]]
    assert top_overlap(falling, moved) == 0.9
    assert top_overlap(falling, falling[::-1]) == 0
    assert top_overlap(falling, falling[::-1], top=20) == 1
    assert top_overlap(falling[:3], falling[:3][::-1]) == 1
    assert top_overlap(np.zeros(20), falling) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([np.zeros(2)], []),
        ([np.zeros(2)], [np.zeros(3)]),
        ([np.zeros(0)], [np.zeros(0)]),
        ([np.zeros((2, 1))], [np.zeros((2, 1))]),
    ],
    ids=["no query", "a query short", "a document more", "no document", "not one logit each"],
)
def test_what_cannot_be_compared_is_refused(before: list[np.ndarray], after: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="same documents"):
        compare("int8", before, after)


@pytest.mark.parametrize(
    ("means", "speeds", "advised"),
    [
        ((0.01, 0.001), (1, 3, 2), "int8"),
        ((0.01, 0.001), (1, 2, 3), "int8x2"),
        ((MEAN_LIMIT, 0), (1, 3, 2), "int8"),
        ((1, 0.01), (1, 3, 2), "int8x2"),
        ((2, 1), (1, 3, 2), "float32"),
        # Eight bits that are slower here, or hardly faster, are no reason to move a logit.
        ((0.01, 0.001), (4, 3, 2), "float32"),
        ((0.01, 0.001), (1, 1.05, 0.5), "float32"),
        ((0.01, 0.001), (1, 3.1, 3), "int8x2"),
    ],
)
def test_the_fastest_precision_within_the_limit_is_advised_and_of_equally_fast_ones_the_nearest(
    means: tuple[float, float], speeds: tuple[float, float, float], advised: str
) -> None:
    drifts = tuple(Drift(name, mean, mean, 1, 1, 0) for name, mean in zip(("int8", "int8x2"), means, strict=True))
    measured = dict(zip(("float32", "int8", "int8x2"), speeds, strict=True))
    assert DriftReport("m", 1, 1, 0, 0, 0, drifts, measured).advised == advised
