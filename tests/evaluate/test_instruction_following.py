"""p-MRR is mteb's own."""

from __future__ import annotations

import numpy as np
import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.instruction_following import p_mrr

Run = dict[str, dict[str, float]]


@pytest.mark.slow
def test_p_mrr_equals_mteb_s_on_random_runs() -> None:
    from mteb._evaluators.retrieval_metrics import calculate_pmrr

    rng = np.random.default_rng(5)
    for _ in range(50):
        run: Run = {}
        changed: dict[str, list[str]] = {}
        for number in range(4):
            ids = [f"d{place}" for place in rng.permutation(15)]
            changed[f"q{number}"] = ids[: rng.integers(1, 6)]
            for version in ("og", "changed"):
                # Some changed documents are missing from a list, and some scores are equal.
                run[f"q{number}-{version}"] = {d: float(rng.integers(8)) for d in ids if rng.random() < 0.8}
        values, missing = p_mrr(run, changed)
        expected = calculate_pmrr(run, run, changed)
        assert np.mean(list(values.values())) == pytest.approx(expected, abs=1e-12)
        assert missing == ()


def test_a_document_pushed_down_counts_above_zero_and_one_pulled_up_below() -> None:
    before, after = {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0}
    assert p_mrr({"q-og": before, "q-changed": after}, {"q": ["a"]})[0] == {"q": 0.5}
    assert p_mrr({"q-og": after, "q-changed": before}, {"q": ["a"]})[0] == {"q": -0.5}


def test_a_query_without_one_of_its_versions_counts_as_zero_and_is_named() -> None:
    run = {"q-og": {"a": 1.0}, "r-og": {"a": 1.0, "b": 2.0}, "r-changed": {"a": 3.0, "b": 2.0}}
    values, missing = p_mrr(run, {"q": ["a"], "r": ["a"]})
    assert values == {"q": 0.0, "r": -0.5}
    assert missing == ("q",)


def test_a_set_without_changed_documents_is_refused() -> None:
    with pytest.raises(InputError, match="FollowIR"):
        p_mrr({}, {})
