"""Measures are trec_eval's, and what ties hide is said exactly."""

from __future__ import annotations

import itertools

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.measures import KINDS, Measure, RankedLabels, ranked

# Our name, and that of trec_eval's own.
OF_TREC_EVAL = {
    "nDCG": "ndcg",
    "nDCG@10": "ndcg_cut_10",
    "nDCG@3": "ndcg_cut_3",
    "AP": "map",
    "AP@10": "map_cut_10",
    "RR": "recip_rank",
    "R@5": "recall_5",
    "R@100": "recall_100",
    "P@5": "P_5",
    "success@1": "success_1",
    "success@5": "success_5",
}
TIED_MEASURES = ("nDCG", "nDCG@3", "nDCG-exp@4", "AP", "AP@3", "RR", "RR@2", "R@3", "P@3", "success@2", "Judged@3")

Labels = dict[str, int]
Scores = dict[str, float]


def random_query(rng: np.random.Generator, num_scores: int) -> tuple[Labels, Scores]:
    """Labels and scores over ids of several alphabets; labels may be negative or 0, scores may be equal."""
    ids = [f"{'dDé猫'[number % 4]}{number}" for number in range(40)]
    judged = rng.choice(ids, rng.integers(1, 30), replace=False)
    found = rng.choice(ids, rng.integers(1, 30), replace=False)
    labels = {document: int(rng.integers(-1, 4)) for document in judged}
    return labels, {document: float(rng.integers(num_scores) / 7) for document in found}


@pytest.fixture(scope="module")
def random_runs() -> list[tuple[Labels, Scores]]:
    """1,000 of them, from hardly a tie to hardly anything else."""
    rng = np.random.default_rng(7)
    return [random_query(rng, num_scores=(3, 20, 10**6)[number % 3]) for number in range(1000)]


def test_measures_equal_trec_eval_on_1000_random_runs(random_runs: list[tuple[Labels, Scores]]) -> None:
    names = {"ndcg", "ndcg_cut.3,10", "map", "map_cut.10", "recip_rank", "recall.5,100", "P.5", "success.1,5"}
    judge = pytrec_eval.RelevanceEvaluator({str(n): labels for n, (labels, _) in enumerate(random_runs)}, names)
    expected = judge.evaluate({str(n): scores for n, (_, scores) in enumerate(random_runs)})
    assert len(expected) == 1000
    for number, (labels, scores) in enumerate(random_runs):
        query = ranked(labels, scores)
        for ours, theirs in OF_TREC_EVAL.items():
            found = Measure.parse(ours).in_trec_eval_order(query)
            assert found == pytest.approx(expected[str(number)][theirs], abs=1e-12), (number, ours)


def test_exponential_gain_and_judged_equal_those_of_ir_measures(random_runs: list[tuple[Labels, Scores]]) -> None:
    for labels, scores in random_runs[2:300:3]:
        if len({np.float32(score) for score in scores.values()}) < len(scores):
            continue  # without ties, as ir_measures breaks them in other ways
        query, qrels = ranked(labels, scores), {"q": labels}
        [judged] = ir_measures.iter_calc([ir_measures.Judged @ 5], qrels, {"q": scores})
        assert Measure("Judged", 5).expected(query) == pytest.approx(judged.value)
        gains = {"q": {document: 2 ** max(label, 0) - 1 for document, label in labels.items()}}
        [exponential] = ir_measures.iter_calc([ir_measures.nDCG @ 10], gains, {"q": scores})
        assert Measure("nDCG-exp", 10).expected(query) == pytest.approx(exponential.value)


@pytest.mark.parametrize("name", TIED_MEASURES)
def test_expectation_and_range_are_those_of_all_orders_of_tied_documents(name: str) -> None:
    rng, measure, with_ties = np.random.default_rng(3), Measure.parse(name), 0
    for _ in range(15):
        labels = {f"d{number}": int(rng.integers(-1, 3)) for number in range(6) if rng.random() < 0.8}
        scores = {f"d{number}": float(rng.integers(2)) for number in range(5)}
        query = ranked(labels, scores)
        places = range(len(query.labels_N))
        orders = [np.array(order) for order in itertools.permutations(places) if _keeps_ties(query, order)]
        values = [measure.expected(query.reordered(order)) for order in orders]
        assert measure.expected(query) == pytest.approx(np.mean(values))
        assert measure.range(query) == pytest.approx((min(values), max(values)))
        with_ties += min(values) < max(values)
    assert with_ties >= 2


def _keeps_ties(query: RankedLabels, order: tuple[int, ...]) -> bool:
    return bool(np.all(query.tie_N[list(order)] == query.tie_N))


def test_scores_that_are_equal_in_float32_are_a_tie() -> None:
    assert ranked({}, {"a": 1.0, "b": 1.0 + 1e-9}).has_ties
    assert not ranked({}, {"a": 1.0, "b": 1.001}).has_ties


def test_a_list_of_no_documents_and_a_query_without_relevant_ones_give_zero() -> None:
    for kind in set(KINDS) - {"p-MRR", "Judged"}:
        measure = Measure(kind, 5)
        assert measure.expected(ranked({"a": 1}, {})) == 0.0
        assert measure.expected(ranked({"a": 0}, {"a": 1.0})) == 0.0
    assert Measure("Judged", 5).expected(ranked({"a": 0}, {"a": 1.0})) == 1.0


@pytest.mark.parametrize("name", ["nDCG@10", "AP", "p-MRR", "nDCG-exp@5", "success@1"])
def test_a_measure_is_read_from_its_name_in_any_case(name: str) -> None:
    assert Measure.parse(name).name == name == Measure.parse(name.upper()).name


@pytest.mark.parametrize("name", ["", "nDCG@", "nDCG@0", "BLEU", "P", "success", "p-MRR@10", "nDCG@10 AP"])
def test_an_unknown_measure_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match="measure"):
        Measure.parse(name)
