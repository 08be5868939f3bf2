"""Spellings of one word become one, and what tells words apart stays."""

from __future__ import annotations

import unicodedata

import pytest

from qwen3_reranker.search.folding import folded


@pytest.mark.parametrize("text", ["plain ASCII", "йод", "ї", "が", "한국", "数据", "ภาษา", "தமிழ்", "कि", "naïve"[:2]])
def test_letters_that_differ_stay_apart_in_any_normal_form(text: str) -> None:
    assert folded(text) == text
    assert folded(unicodedata.normalize("NFD", text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Élève Müller", "Eleve Muller"),
        ("ǖ", "u"),
        ("İı", "Ii"),
        ("ﬁn", "fin"),
        ("كِتـاب", "كتاب"),
        ("Tiếng Việt", "Tieng Viet"),
    ],
)
def test_what_is_optional_goes_and_case_stays(text: str, expected: str) -> None:
    assert folded(text) == expected
    assert folded(unicodedata.normalize("NFD", text)) == expected
    assert folded(expected) == expected
