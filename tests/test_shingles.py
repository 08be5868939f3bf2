"""Near-duplicates are those of exact Jaccard, in every script, and the first of them stays."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.shingles import LENGTH, ShingleTable

# Few letters, so that texts share runs; of scripts with and without spaces, and half of a surrogate pair.
TEXTS = st.lists(st.text("aB 東京ไท。\ud800\n", max_size=24), max_size=12)
SAME = {
    "English": (
        "The court may annul the contract in one year.",
        "the court may annul  the contract in one year",
    ),
    "Chinese": ("法院可以在一年内撤销合同，但须经双方同意。", "法院可以在一年内撤销合同，但须经双方同意"),
    "Japanese": ("裁判所は一年以内に契約を取り消すことができる。", "裁判所は一年以内に契約を取り消すことができる｡"),
    "Thai": ("ศาลอาจเพิกถอนสัญญาได้ภายในหนึ่งปีนับแต่วันทำสัญญา", "ศาลอาจเพิกถอนสัญญาได้ภายในหนึ่งปี นับแต่วันทำสัญญา"),
    "Korean": ("법원은 일 년 안에 계약을 취소할 수 있다.", "법원은 일 년 안에 계약을 취소할 수 있다"),
}


def runs(text: str) -> set[str]:
    """The shingles of a text, as the docstring of the table defines them."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return {plain[start : start + LENGTH] for start in range(max(1, len(plain) - LENGTH + 1))}


def jaccard(one: str, other: str) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


@given(TEXTS, st.sampled_from([0.1, 0.5, 0.8, 1.0]))
def test_a_text_is_folded_into_the_first_kept_one_with_that_much_in_common_and_no_other(
    texts: list[str], threshold: float
) -> None:
    expected: list[int] = []
    for place, text in enumerate(texts):
        kept = [each for each in range(place) if expected[each] == each]
        expected.append(next((each for each in kept if jaccard(texts[each], text) >= threshold), place))
    assert ShingleTable(texts).folded(threshold) == expected


@given(TEXTS)
def test_cosines_are_symmetric_between_0_and_1_and_1_of_a_text_with_itself(texts: list[str]) -> None:
    table = ShingleTable(texts)
    cosines = np.array([table.cosines(place) for place in range(len(texts))]).reshape(len(texts), len(texts))
    np.testing.assert_allclose(cosines, cosines.T, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(cosines), 1, atol=1e-12)
    assert (cosines >= 0).all()
    assert (cosines <= 1 + 1e-12).all()


@pytest.mark.parametrize("script", SAME)
def test_a_copy_with_a_small_change_is_found_in_each_script_and_another_sentence_is_not(script: str) -> None:
    others = [text for name, pair in SAME.items() if name != script for text in pair[:1]]
    original, copy = SAME[script]
    assert ShingleTable([original, *others, copy]).folded(0.8) == [0, 1, 2, 3, 4, 0]


def test_what_few_texts_have_in_common_counts_more_than_what_all_of_them_have() -> None:
    table = ShingleTable(["Chapter one: zebras", "Chapter one: apples", "Chapter two: zebras", "Chapter one: pears"])
    assert table.cosines(0)[2] > table.cosines(0)[1]


def test_a_sign_makes_a_short_text_another() -> None:
    assert ShingleTable(["x == y", "x != y"]).folded(0.8) == [0, 1]
