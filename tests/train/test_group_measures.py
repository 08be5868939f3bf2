"""The measures of training are trec_eval's, except that ties count against the model."""

import numpy as np
import pytest

from qwen3_reranker.train.group_measures import gain_interval, quality


def test_they_are_trec_eval_s_where_no_scores_are_equal() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(0)
    scored, relevant, run = [], {}, {}
    for query in range(50):
        count = int(rng.integers(2, 30))
        labels = [1.0, 0.0, *rng.integers(0, 2, count - 2).astype(float).tolist()]
        logits = rng.permutation(count).astype(np.float32)
        scored.append((logits, labels))
        relevant[str(query)] = {str(place): int(label) for place, label in enumerate(labels)}
        run[str(query)] = {str(place): float(logit) for place, logit in enumerate(logits)}
    theirs = pytrec_eval.RelevanceEvaluator(relevant, {"ndcg_cut_10", "recip_rank"}).evaluate(run)
    found = quality([0.0], scored)
    assert found.per_query == pytest.approx([theirs[str(query)]["ndcg_cut_10"] for query in range(50)])
    ranks = [each["recip_rank"] for each in theirs.values()]
    assert found.reciprocal_rank == pytest.approx(np.mean([rank if rank >= 0.1 else 0.0 for rank in ranks]))


def test_a_model_that_gives_everything_one_score_has_found_nothing() -> None:
    equal = np.zeros(20, np.float32)
    found = quality([0.7], [(equal, [1.0, *[0.0] * 19])])
    assert (found.ndcg, found.reciprocal_rank, found.pairs) == (0.0, 0.0, 0.0)


def test_a_query_with_one_kind_of_document_says_nothing() -> None:
    logits = np.array([2.0, 1.0], np.float32)
    both, one = (logits, [1.0, 0.0]), (logits, [1.0, 1.0])
    assert quality([0.0], [both, one]) == quality([0.0], [both])


def test_the_interval_of_a_gain_holds_it_and_narrows_with_queries() -> None:
    widths = []
    for count in (10, 1000):
        rng = np.random.default_rng(1)
        before, after = (
            quality([0.0], [(rng.normal(size=8).astype(np.float32) + push, [1.0, *[0.0] * 7]) for _ in range(count)])
            for push in (np.zeros(8, np.float32), np.array([2, *[0] * 7], np.float32))
        )
        gain, low, high = gain_interval(before, after)
        assert low < gain < high
        widths.append(high - low)
    assert widths[1] < 0.3 * widths[0]


def test_the_order_decides_which_is_better_and_probabilities_where_it_is_the_same() -> None:
    logits = np.array([2.0, 1.0], np.float32)
    right, wrong = ((logits, labels) for labels in ([1.0, 0.0], [0.0, 1.0]))
    assert quality([0.9], [right]).beats(quality([0.1], [wrong]))
    assert not quality([0.1], [wrong]).beats(quality([0.9], [right]))
    assert quality([0.1], [right]).beats(quality([0.2], [right]))
    assert not quality([0.2], [right]).beats(quality([0.2], [right]))
