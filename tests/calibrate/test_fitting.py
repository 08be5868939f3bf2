"""Figures come from queries that took no part in the fit, and say what they promise of known probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qwen3_reranker.calibrate import JudgedPairs, fit, markdown, page
from qwen3_reranker.calibrate.answering import BestHits, answering, best_hits, risk_coverage, threshold_for
from qwen3_reranker.calibrate.calibration_report import risk_rows
from qwen3_reranker.calibrate.fitting import FOLDS, folds, held_out_probabilities
from qwen3_reranker.calibrate.reliability import reliability
from qwen3_reranker.endpoints.score_transforms import sigmoid
from qwen3_reranker.errors import InputError


def drawn_pairs(queries: int = 60, documents: int = 20, seed: int = 3) -> JudgedPairs:
    """Pairs that are relevant as often as sigmoid(0.5 * logit - 2) says."""
    rng = np.random.default_rng(seed)
    logits_N = rng.normal(0, 3, queries * documents)
    labels_N = (rng.random(len(logits_N)) < sigmoid(0.5 * logits_N - 2)).astype(float)
    texts = tuple(f"query {number}" for number in range(queries))
    queries_N = np.repeat(np.arange(queries), documents)
    return JudgedPairs(logits_N, labels_N, queries_N, texts, ("drawn",), ("BM25",), {"model_fingerprint": "a"}, (None,))


def test_every_pair_of_a_query_is_in_one_fold_and_folds_are_alike_in_size() -> None:
    found = folds(103, seed=1)
    assert found.shape == (103,), "a fold is given to a query, so no pair can be in another than its query's"
    assert sorted(np.bincount(found)) == [20, 20, 21, 21, 21]
    assert len(np.unique(found)) == FOLDS


def test_a_query_has_no_part_in_what_it_is_judged_by() -> None:
    pairs, fold_Q = drawn_pairs(), folds(60, 0)
    is_first_N = pairs.queries_N == 0
    changed = replace(pairs, labels_N=np.where(is_first_N, 1 - pairs.labels_N, pairs.labels_N))
    same, moved = (held_out_probabilities(each, ["platt", "isotonic"], seed=0) for each in (pairs, changed))
    is_same_fold_N = (fold_Q == fold_Q[0])[pairs.queries_N]
    assert (same == moved)[is_same_fold_N].all()
    assert (same != moved)[~is_same_fold_N].any()


def test_calibration_mends_probabilities_that_are_too_high() -> None:
    found = fit(drawn_pairs(200), precisions=[0.6], seed=2)
    assert found.after.error.value < 0.3 * found.before.error.value
    assert found.ratio.high < 0.5
    assert found.after.brier.value < found.before.brier.value
    [held] = found.held
    assert held.held_out is not None
    assert held.held_out.precision.high >= 0.6
    assert "of it; method" in markdown(found)
    assert page(found).count("<svg") == 2


def test_too_few_queries_and_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(InputError, match="19 labelled queries are too few"):
        fit(drawn_pairs(19))
    pairs = drawn_pairs()
    with pytest.raises(InputError, match="0 of 1,200 pairs are relevant"):
        fit(replace(pairs, labels_N=np.zeros_like(pairs.labels_N)))


def test_the_error_is_the_mean_gap_of_bins_and_its_interval_holds_it() -> None:
    probabilities_N = np.array([0.1, 0.1, 0.9, 0.9])
    labels_N = np.array([0.0, 1.0, 1.0, 1.0])
    found = reliability(probabilities_N, labels_N, np.array([0, 0, 1, 1]))
    assert found.error.value == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    assert found.brier.value == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    # With two queries a draw holds both, or one of them twice.
    assert (found.error.low, found.error.high) == (pytest.approx(0.1), pytest.approx(0.4))


def test_answering_counts_the_best_hit_of_each_query() -> None:
    logits_N = np.array([2.0, 1.0, 3.0, 0.0, -1.0, -2.0])
    labels_N = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    hits = best_hits(logits_N, sigmoid(logits_N), labels_N, np.array([0, 0, 1, 1, 2, 2]))
    assert hits.right_Q.tolist() == [1, 0, 0]
    assert hits.answerable_Q.tolist() == [1, 1, 0]
    found = answering(hits, 0.5)
    assert found.answered.value == pytest.approx(2 / 3)
    assert found.precision.value == pytest.approx(1 / 2)
    assert found.recall.value == pytest.approx(1 / 2)
    assert found.silence.value == 1
    assert found.refusal.value == pytest.approx(1 / 3), "query 2 alone has no other document above 0.5"
    assert risk_coverage(hits) == [(pytest.approx(1 / 3), 1), (pytest.approx(2 / 3), 0.5), (1, pytest.approx(2 / 3))]
    rows = [["0.333", "1.000"], ["0.667", "0.500"], ["1.000", "0.667"]]
    assert list(risk_rows(risk_coverage(hits)).rows) == rows


def test_a_threshold_is_the_lowest_whose_precision_holds_with_its_interval() -> None:
    probability_Q = np.linspace(1, 0, 400)
    right_Q = (np.arange(400) < 200).astype(float)
    hits = BestHits(probability_Q, right_Q, np.ones(400), np.zeros(400))
    found = threshold_for(hits, 0.9)
    assert found is not None
    shown = right_Q[probability_Q >= found]
    assert 0.9 < shown.mean() < 0.97, "the low end of the interval, and not the share itself, is 0.9"
    assert threshold_for(hits, 0.999) is None
