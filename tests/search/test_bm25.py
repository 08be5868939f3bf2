"""BM25 scores by Lucene's formula over words of any script, and the order of a corpus says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwen3_reranker.search import Bm25, words
from qwen3_reranker.search.bm25 import K1, B

DOCUMENTS = ["the cat sat on the mat", "a dog", "the dog and the cat", "", "猫が座る", "nothing here"]


def lucene(query: str, document: str) -> float:
    """The formula, term by term."""
    lists = [words(text) for text in DOCUMENTS]
    average = sum(map(len, lists)) / len(lists)
    total = 0.0
    for word in words(query):
        times, holders = words(document).count(word), sum(word in each for each in lists)
        if times:
            idf = math.log(1 + (len(lists) - holders + 0.5) / (holders + 0.5))
            total += idf * times / (times + K1 * (1 - B + B * len(words(document)) / average))
    return total


@pytest.mark.parametrize("query", ["the cat", "dog dog cat", "猫", "unknown words", ""])
def test_scores_are_lucene_s(query: str) -> None:
    expected = [lucene(query, document) for document in DOCUMENTS]
    assert Bm25(DOCUMENTS).scores(query).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_best_come_first_and_equal_scores_in_an_order_drawn_by_the_seed() -> None:
    places, scores = Bm25(DOCUMENTS).top("dog cat", 3)
    assert set(places[:2].tolist()) <= {0, 1, 2}
    assert np.all(np.diff(scores) <= 0)
    orders = {tuple(Bm25(DOCUMENTS, seed).top("unknown", 6)[0].tolist()) for seed in range(8)}
    assert len(orders) > 4
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert Bm25(DOCUMENTS, 3).top("dog", 6)[0].tolist() == Bm25(DOCUMENTS, 3).top("dog", 6)[0].tolist()


def test_documents_without_a_word_score_zero() -> None:
    assert Bm25(["", " ", "..."]).scores("word").tolist() == [0.0, 0.0, 0.0]
    assert Bm25([]).top("word", 5)[0].tolist() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World_1!", ["hello", "world_1"]),
        ("Ａｂｃ ﬁne", ["abc", "fine"]),
        ("東京都", ["東京", "京都"]),
        ("猫", ["猫"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("हिन्दी में लिखो।", ["हिन्दी", "में", "लिखो"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("한국어 text", ["text", "한국", "국어"]),
        ("e\u0301tude", ["étude"]),
        ("", []),
    ],
)
def test_words_of_every_script_stay_whole_or_become_pairs(text: str, expected: list[str]) -> None:
    import unicodedata

    assert words(text) == [unicodedata.normalize("NFKC", word) for word in expected]
