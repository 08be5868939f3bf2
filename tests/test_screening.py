"""A screened ranking is the exact precision's best, with its logits, for less work; and it says what was done."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.records import DocumentScores, Receipt, Screen, Usage
from qwen3_reranker.screening import screened_lists
from testing.texts import documents

QUERY = "Are all people born free?"
TEXTS = documents(5, 60, 40)


class Recorded:
    """Scores that are known, and the documents that were asked for."""

    def __init__(self, logits_N: NDArray[np.float32]) -> None:
        self.logits_N, self.asked = logits_N, list[str]()

    def __call__(self, query: str, texts: Sequence[str], on_progress: object) -> DocumentScores:
        self.asked += texts
        logits = self.logits_N[[int(text) for text in texts]]
        return DocumentScores(logits, logits, (Receipt(1, 1, 1, 1),) * len(texts), Usage(len(texts), 1, 0, 0))


def screened(
    fast_N: NDArray[np.float32], exact_N: NDArray[np.float32], top_k: int = 10, texts: Sequence[str] | None = None
) -> tuple[DocumentScores, Recorded]:
    exact = Recorded(exact_N)
    texts = [str(index) for index in range(len(fast_N))] if texts is None else texts
    [scores] = screened_lists([("", texts)], Screen("int8", 0.999, top_k), Recorded(fast_N), exact, None)
    return scores, exact


def best(logits_N: NDArray[np.float32], top_k: int = 10) -> list[int]:
    return np.argsort(-logits_N, kind="stable")[:top_k].tolist()


@pytest.mark.parametrize("top_k", [1, 10, 30])
def test_the_best_are_the_exact_ones_where_drift_is_skewed_has_heavy_tails_and_swaps_many(top_k: int) -> None:
    random = np.random.default_rng(top_k)
    wrong, rechecked = 0, 0
    for _ in range(200):
        exact_N = random.standard_normal(100).astype(np.float32)
        drift = 0.3 + 0.05 * random.standard_t(8, 100) + 0.05 * exact_N
        fast_N = (exact_N - drift).astype(np.float32)
        scores, exact = screened(fast_N, exact_N, top_k)
        assert best(scores.logits, top_k) == best(exact_N, top_k)
        wrong += best(fast_N, top_k) != best(exact_N, top_k)
        rechecked += len(exact.asked)
        assert len(set(exact.asked)) == len(exact.asked) == scores.screening.rechecked  # type: ignore[union-attr]
    assert wrong > 10, "the screen alone has other best documents"
    assert rechecked < 200 * (top_k + 25)


def test_what_is_rechecked_grows_with_drift_up_to_everything() -> None:
    random = np.random.default_rng(0)
    exact_N, noise_N = (random.standard_normal(200).astype(np.float32) for _ in range(2))
    counts = [len(screened(exact_N + size * noise_N, exact_N)[1].asked) for size in (0, 0.02, 0.2, 1000)]
    assert counts[0] == 12
    assert counts == sorted(set(counts))
    assert counts[-1] == 200


def test_equal_texts_are_rechecked_once_and_do_not_hide_drift() -> None:
    random = np.random.default_rng(1)
    exact_N = random.standard_normal(60).astype(np.float32)
    fast_N = exact_N + (0.3 * random.standard_normal(60)).astype(np.float32)
    texts = [str(best(fast_N, 1)[0])] * 20 + [str(index) for index in range(60)]
    scores, exact = screened(fast_N, exact_N, 25, texts)
    assert len(set(exact.asked)) == len(exact.asked)
    assert best(scores.logits, 25) == best(exact_N[[int(text) for text in texts]], 25)


def test_a_list_of_which_nearly_all_would_be_rechecked_is_not_screened() -> None:
    logits_N = np.arange(12, dtype=np.float32)
    scores, exact = screened(logits_N - 100, logits_N)
    assert len(exact.asked) == 12
    assert scores.logits.tolist() == logits_N.tolist()
    assert (scores.screening.screened, scores.screening.rechecked) == (0, 12)  # type: ignore[union-attr]
    assert screened(logits_N[:0], logits_N[:0])[0].logits.shape == (0,)


def same(found: Ranking, exact: Ranking) -> bool:
    return [(hit.index, hit.logit, hit.receipt) for hit in found] == [
        (hit.index, hit.logit, hit.receipt) for hit in exact
    ]


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_a_screened_ranking_has_the_order_and_the_bits_of_the_exact_one(nano: Reranker, precision: str) -> None:
    shares: list[float] = []
    found = nano.rank(QUERY, TEXTS, 5, screen=precision, on_progress=shares.append)
    exact = nano.rank(QUERY, TEXTS, 5)
    assert same(found, exact)
    assert found.screening is not None
    assert exact.screening is None
    assert (found.screening.precision, found.screening.confidence) == (precision, 0.999)
    assert found.screening.screened == 60
    assert 10 <= found.screening.rechecked < 40
    assert found.usage.prompt_tokens > exact.usage.prompt_tokens
    assert str(found.screening) in repr(found)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_every_way_to_rank_screens(nano: Reranker) -> None:
    exact = nano.rank(QUERY, TEXTS, 5)
    many = nano.rank_many([QUERY, "Which tags are there?"], TEXTS, 5, screen="int8")
    assert same(many[0], exact)
    assert same(many[1], nano.rank("Which tags are there?", TEXTS, 5))
    assert same(asyncio.run(nano.arank(QUERY, TEXTS, 5, screen="int8")), exact)
    with pickle.loads(pickle.dumps(nano)) as copied:
        assert same(copied.rank(QUERY, TEXTS, 5, screen="int8"), exact)


def test_what_cannot_be_screened_is_said(small_checkpoint: Path) -> None:
    with Reranker(str(small_checkpoint)) as reranker:
        for wrong, words in [
            ({"screen": "int8"}, "say how many, as in top_k=10"),
            ({"screen": "float8", "top_k": 1}, "cpu backend screens a model in float32 by bfloat16, int8, int8x2, got"),
            ({"screen": "float32", "top_k": 1}, "got screen='float32'"),
            ({"screen": "int8", "top_k": 1, "confidence": 1}, "confidence must be a number between 0 and 1"),
        ]:
            with pytest.raises(InputError, match=words):
                reranker.rank(QUERY, TEXTS, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="closed"):
        reranker.rank(QUERY, TEXTS, 1, screen="int8")
    with pytest.raises(InputError, match="plan_only"):
        Reranker(str(small_checkpoint), plan_only=True).rank(QUERY, TEXTS, 1, screen="int8")
    with (
        Reranker(str(small_checkpoint), backend="reference") as plain,
        pytest.raises(InputError, match="the reference backend cannot screen"),
    ):
        plain.rank(QUERY, TEXTS, 1, screen="int8")


def test_a_screen_is_closed_with_its_model(small_checkpoint: Path) -> None:
    reranker = Reranker(str(small_checkpoint))
    reranker.rank(QUERY, TEXTS, 1, screen="int8")
    engine = reranker._screens.engine("int8")
    reranker.close()
    assert engine._runner.is_closed
    assert reranker.is_closed
