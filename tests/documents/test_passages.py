"""Passages cover a text in order, lose nothing, stay within their bound, and name their lines."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.documents.passages import TOKENS, WORDS, passages

LINES = st.one_of(
    st.just(""),
    st.just("## heading"),
    st.just("```"),
    st.text(alphabet=st.sampled_from("abc .。漢字かな\t"), max_size=60),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30),
)
TEXTS = st.lists(LINES, max_size=25).map("\n".join)


UNITS = st.sampled_from([WORDS, TOKENS])


@given(TEXTS, st.integers(1, 12), UNITS, st.booleans())
def test_every_letter_is_in_exactly_one_passage_in_order(
    text: str, most: int, unit: re.Pattern[str], is_code: bool
) -> None:
    joined = "".join(passage.text for passage in passages(text, most, unit=unit, is_code=is_code))
    assert "".join(joined.split()) == "".join(text.split())


@given(TEXTS, st.integers(1, 12), UNITS, st.booleans())
def test_a_passage_lies_on_the_lines_it_names(text: str, most: int, unit: re.Pattern[str], is_code: bool) -> None:
    lines = text.split("\n")
    end = 1
    for passage in passages(text, most, unit=unit, is_code=is_code):
        assert end <= passage.first_line <= passage.last_line
        assert passage.text in "\n".join(lines[passage.first_line - 1 : passage.last_line])
        assert passage.text.split("\n")[0] in lines[passage.first_line - 1]
        assert passage.text.split("\n")[-1] in lines[passage.last_line - 1]
        end = passage.last_line


@given(st.lists(st.sampled_from(["word", "Ende.", "\n", "\n\n", "# title\n"]), max_size=200), st.integers(1, 20))
def test_no_passage_is_longer_than_asked(pieces: list[str], most_words: int) -> None:
    assert all(len(passage.text.split()) <= most_words for passage in passages(" ".join(pieces), most_words))


def test_a_heading_stays_with_what_follows_it() -> None:
    text = "# One\n\n" + "a " * 8 + "\n\n## Two\n\n" + "b " * 8 + "\n"
    assert [passage.text.split("\n")[0] for passage in passages(text, 12)] == ["# One", "## Two"]


def test_a_long_paragraph_is_cut_behind_sentences_or_else_evenly_in_scripts_without_blanks_too() -> None:
    text = "One two three four. Five six seven eight nine."
    assert [passage.text for passage in passages(text, 6)] == ["One two three four.", "Five six seven eight nine."]
    assert [len(passage.text) for passage in passages("漢" * 25, 10)] == [9, 8, 8]


def test_a_comment_inside_a_code_fence_is_no_heading() -> None:
    text = "word word word\n```\n# comment\ncode\n```\n"
    (passage,) = passages(text, 8)
    assert re.sub(r"\s+$", "", text) == passage.text
