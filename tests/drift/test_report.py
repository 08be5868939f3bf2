"""A report tells what 8 bits do to a model, nano and models with outliers alike."""

from __future__ import annotations

import time

import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.drift import DriftReport, Question, measure_drift, text_set


@pytest.fixture(scope="module")
def nano() -> DriftReport:
    return measure_drift()


def test_a_speed_is_that_of_scoring_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Reranker.__enter__

    def slow_to_open(reranker: Reranker) -> Reranker:
        time.sleep(0.25)
        return opened(reranker)

    monkeypatch.setattr(Reranker, "__enter__", slow_to_open)
    question = Question("English", "what is tea", ("a drink",), ("a cup",), ("a stone", "a train"))
    start = time.perf_counter()
    report = measure_drift("nano", ["int8"], questions=[question])
    scoring = sum(report.documents / speed for speed in report.documents_per_second.values())
    assert time.perf_counter() - start - scoring > 2 * 0.25


@pytest.mark.slow
def test_nano_moves_little_and_less_with_activations_of_16_bits(nano: DriftReport) -> None:
    bfloat16, int8, int8x2 = nano.drifts
    assert (bfloat16.precision, int8.precision, int8x2.precision) == ("bfloat16", "int8", "int8x2")
    assert 0 < bfloat16.mean_delta < int8x2.mean_delta < int8.mean_delta < 0.05
    assert bfloat16.max_delta < 0.05
    assert int8.kendall_tau > 0.98
    assert int8.top_overlap == 1
    assert set(nano.documents_per_second) == {"float32", "bfloat16", "int8", "int8x2"}


def test_float32s_own_logits_are_the_scale(nano: DriftReport) -> None:
    questions = text_set()
    with Reranker() as reranker:
        logits = [reranker.logits([(each.query, document) for document in each.documents]) for each in questions]
    assert (nano.queries, nano.documents) == (10, 180)
    assert nano.lowest == pytest.approx(min(each.min() for each in logits), abs=1e-5)
    assert nano.highest == pytest.approx(max(each.max() for each in logits), abs=1e-5)
    assert nano.spread == pytest.approx(sum(each.std() for each in logits) / 10, abs=1e-5)


def test_float32_does_not_drift_from_itself_on_questions_of_ones_own_and_progress_reaches_one() -> None:
    question = Question("English", "what is tea", ("a drink",), ("a cup",), ("a stone", "a train"))
    shares: list[float] = []
    report = measure_drift("nano", ["float32", "int8"], questions=[question], on_progress=shares.append, num_threads=1)
    exact, rounded = report.drifts
    assert (exact.mean_delta, exact.kendall_tau, exact.top1_changed) == (0, 1, 0)
    assert rounded.mean_delta > 0
    assert report.documents == 4
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_a_precision_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="int4"):
        measure_drift("nano", ["int4"], questions=[Question("English", "q", ("d",), (), ())])
