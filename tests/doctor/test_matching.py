"""Scores name the hypothesis they come from, through rounding and noise, and never one they do not come from."""

from __future__ import annotations

import numpy as np
import pytest

from qwen3_reranker.doctor.hypotheses import CANONICAL, PROMPTS
from qwen3_reranker.doctor.matching import fitted_hypotheses
from qwen3_reranker.endpoints import probes
from qwen3_reranker.endpoints.clear_pairs import check_clear_pairs
from qwen3_reranker.endpoints.score_transforms import SCORE_TRANSFORMS, logit, sigmoid
from tests.doctor.conftest import Case

pytestmark = pytest.mark.slow

PAIRS = [(query, document) for query in probes.CLEAR_QUERIES[:3] for document in probes.CLEAR_DOCUMENTS]


def test_a_readings_undo_gives_the_logits_back() -> None:
    logits_N = np.array([-5.0, -0.3, 0.0, 2.0, 5.0])
    sent = (
        sigmoid(logits_N),
        logits_N,
        sigmoid(sigmoid(logits_N)),
        sigmoid(-logits_N),
        -logits_N,
        sigmoid(sigmoid(-logits_N)),
    )
    for transform, scores_N in zip(SCORE_TRANSFORMS, sent, strict=True):
        undone_N = transform.inverse(scores_N)
        assert undone_N is not None
        assert np.allclose(undone_N, logits_N, atol=1e-4), transform.description
    assert SCORE_TRANSFORMS[0].inverse(np.array([1.5])) is None
    assert SCORE_TRANSFORMS[2].inverse(np.array([0.2])) is None


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_the_canonical_prompt_with_the_noise_of_few_bits_is_healthy(nano: Case, noise: float) -> None:
    logits_N = nano.reference.logits(nano.reference.rows(CANONICAL, PAIRS))
    for seed in range(3 if noise else 1):
        noisy_N = logits_N + np.random.default_rng(seed).normal(0, noise, len(PAIRS))
        best = fitted_hypotheses(nano.reference, PAIRS, np.round(sigmoid(noisy_N), 3)).best
        assert best is not None
        assert best.faults == ()


def test_another_prompt_is_named_rightly_or_where_noise_hides_it_not_at_all(nano: Case) -> None:
    noise = 0.1
    random = np.random.default_rng(1)
    canonical_N = nano.reference.logits(nano.reference.rows(CANONICAL, PAIRS))
    for written in PROMPTS[1:]:
        logits_N = nano.reference.logits(nano.reference.rows(written, PAIRS))
        best = fitted_hypotheses(nano.reference, PAIRS, sigmoid(logits_N + random.normal(0, noise, len(PAIRS)))).best
        apart = float(np.sqrt(np.mean((logits_N - canonical_N) ** 2)))
        if best is not None and (best.faults or apart > 6 * noise):
            assert set(best.faults) == set(written.faults), (written.description, best.description, apart)
        else:
            assert apart <= 6 * noise, written.description


def test_pairs_that_no_model_gets_wrong_tell_yes_from_no_and_nothing_else_does() -> None:
    right = np.full((5, 5), -3.0) + 7 * np.eye(5)
    assert check_clear_pairs(sigmoid(right)).findings == ()
    assert check_clear_pairs(sigmoid(right)).decided
    assert [name for name, _ in check_clear_pairs(sigmoid(-right)).findings] == ["swapped"]
    assert [name for name, _ in check_clear_pairs(-right).findings] == ["swapped"]
    assert [name for name, _ in check_clear_pairs(sigmoid(sigmoid(right))).findings] == ["double-sigmoid"]
    assert {name for name, _ in check_clear_pairs(sigmoid(sigmoid(-right))).findings} == {"swapped", "double-sigmoid"}
    accused = [
        check_clear_pairs(scores).findings
        for seed in range(1000)
        for logits in [np.random.default_rng(seed).normal(0, 2, (5, 5))]
        for scores in (sigmoid(logits), sigmoid(sigmoid(logits)), logits, 0.6 + logits / 100)
    ]
    assert not any(accused)


def test_logits_of_zero_and_one_are_finite() -> None:
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
