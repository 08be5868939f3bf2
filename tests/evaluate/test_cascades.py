"""Cascades are evaluated from what both models say alone, with their time, and the smallest good band is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.evaluate import (
    BandChoice,
    Candidate,
    FirstStage,
    LabelledSet,
    Measure,
    Summary,
    as_json,
    bm25,
    compared,
    evaluate,
    markdown,
    page,
)
from qwen3_reranker.evaluate.cascades import CascadeParts, reranked_above, seconds_of_band, work_of_band
from qwen3_reranker.evaluate.summary import CASCADE, CascadeCurve, CascadePoint, System, SystemComparison

SMALL, LARGE = Candidate("small", "nano", None, {"precision": "int8"}), Candidate("large", "nano")


def test_a_band_has_the_order_of_the_second_model_above_the_rest_of_the_first() -> None:
    first = {"q": {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}}
    then = {"q": {"a": 0.0, "b": 9.0, "c": 5.0, "d": 99.0}}
    orders = [
        sorted(scores, key=lambda each: -scores[each])
        for scores in (reranked_above(first, then, band)["q"] for band in (1, 3, 4, 9))
    ]
    assert ["".join(order) for order in orders] == ["abcd", "bcad", "dbca", "dbca"]


def test_the_time_of_a_band_is_that_of_the_first_model_and_the_second_one_s_share(tasks: LabelledSet) -> None:
    documents = list(tasks.documents)[:4]
    listed = {"q0": {each: -float(place) for place, each in enumerate(documents)}}
    stage = FirstStage("lists", 4, listed, "")
    lengths = [len(tasks.documents[each]) for each in documents]
    shares, in_band, pairs = work_of_band(tasks, stage, listed, 1)
    assert (shares, in_band, pairs) == ({"q0": lengths[0] / sum(lengths)}, 1, 4)
    assert work_of_band(tasks, stage, listed, 4) == ({"q0": 1.0}, 4, 4)
    assert seconds_of_band([1.0, 1.0], [10.0, 10.0], [0.25, 1.0]) == [3.5, 10.0], "a whole list needs no first model"


def curve(*lows: float, margin: float = 0.01) -> CascadeCurve:
    """Bands of 10, 20 and so on, whose intervals begin there."""
    points = []
    for number, low in enumerate(lows, start=1):
        parts = CascadeParts("small", "large", 10 * number, 10 * number, 100)
        system = System(f"of {parts.band}", CASCADE, (), cascade=parts)
        points.append(CascadePoint(system, parts, SystemComparison(system.label, "large", 0, low, 1, 1, 0, 0, 0)))
    small, large = (System(name, "model", (), seconds=seconds) for name, seconds in (("small", [1]), ("large", [4])))
    return CascadeCurve(small, large, tuple(points), margin)


@pytest.mark.parametrize(
    ("lows", "band"),
    [((-0.2, -0.005, 0.0), 20), ((-0.2, -0.02), None), ((0.0, -0.02, -0.001), 30), ((-0.01, 0.0), 10), ((), None)],
)
def test_the_chosen_band_is_the_smallest_of_which_all_larger_ones_are_good_enough_too(
    lows: tuple[float, ...], band: int | None
) -> None:
    chosen = curve(*lows).chosen
    assert (chosen and chosen.parts.band) == band
    assert curve(*lows).share_of_time(curve().first) == 0.25


@pytest.fixture
def stage(tasks: LabelledSet, tmp_path: Path) -> FirstStage:
    return bm25(tasks, 8, 0, tmp_path / "first")


@pytest.fixture
def summary(tasks: LabelledSet, stage: FirstStage, tmp_path: Path) -> Summary:
    choice = BandChoice("large", (3, 8), 0.02)
    return compared(evaluate([tasks], [stage], [SMALL, LARGE], tmp_path / "out", cascade=choice))


@pytest.mark.slow
def test_the_measures_of_a_cascade_are_those_of_rank_with_both_models(
    summary: Summary, tasks: LabelledSet, stage: FirstStage, nano: Reranker
) -> None:
    [found] = [each for each in summary.systems if each.cascade and each.cascade.band == 3]
    assert found.label == "small, then large for 3"
    [scores] = [scores[Measure("nDCG", 10)] for scores in found.scores]
    with Reranker("nano", precision="int8") as small:
        for query, value in zip(scores.queries, scores.values_Q, strict=True):
            listed = list(stage.run[query])
            texts = [tasks.documents[each] for each in listed]
            best = [listed[hit.index] for hit in small.rank(tasks.queries[query], texts, 3, then=nano, band=3)]
            rest = [listed[hit.index] for hit in small.rank(tasks.queries[query], texts)]
            order = [*best, *(each for each in rest if each not in best)]
            ranks = [rank for rank, each in enumerate(order, start=1) if tasks.qrels[query].get(each)]
            assert value == pytest.approx(sum(1 / np.log2(rank + 1) for rank in ranks))


@pytest.mark.slow
def test_a_band_as_long_as_the_lists_is_the_second_model_and_takes_its_time(summary: Summary) -> None:
    [curve] = summary.curves
    narrow, whole = curve.points
    assert (narrow.parts.then_pairs, whole.parts.then_pairs, whole.parts.pairs) == (36, 96, 96)
    assert whole.minus_then.difference == 0
    assert curve.share_of_time(whole.system) == pytest.approx(1)
    assert curve.chosen is not None
    assert summary.mean(whole.system) == summary.mean(curve.then)


@pytest.mark.slow
def test_every_report_shows_the_curve_and_the_choice(summary: Summary) -> None:
    [found] = as_json(summary)["cascades"]
    assert (found["first"], found["then"], found["margin"]) == ("small", "large", 0.02)
    assert [each["band"] for each in found["bands"]] == [3, 8]
    assert found["chosen_band"] in (3, 8)
    text, whole = markdown(summary), page(summary)
    for report in (text, whole):
        assert "Quality and time of cascades" in report
        assert f"{found['chosen_band']} is the smallest band that is shown to be at most 0.02 worse" in report
    assert whole.count("<svg") > page(replace(summary, curves=())).count("<svg")
