"""A text's sentences join to the text, in any script; short ones are joined, long ones cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.documents.passages import TOKENS
from qwen3_reranker.documents.sentences import sentences

PIECES = [
    "One word. ",
    "“Is it so?” she asked. ",
    "e.g. 3.5 of it",
    "\n",
    "\n\n",
    "  ",
    "水を飲む。",
    "ไทย ",
    "x" * 50,
    "| a. | b",
    "}",
]


def split(text: str, most: int = 64) -> list[str]:
    return [text[start:end] for start, end in sentences(text, most)]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=300), st.integers(1, 9))
def test_the_spans_join_to_the_text_and_are_no_more_than_asked_for(text: str, most: int) -> None:
    found = split(text, most)
    assert "".join(found) == (text if text.strip() else "")
    assert len(found) <= most
    assert all(found)


def test_prose_ends_at_full_stops_and_not_at_abbreviations_numbers_or_wrapped_lines() -> None:
    text = (
        "Dr. Smith measured 3.5 metres, e.g. in the hall. “Was that so?” he asked his old friend. It was\n"
        "that long in 1973. Nobody measured it again!"
    )
    assert [each.strip() for each in split(text)] == [
        "Dr. Smith measured 3.5 metres, e.g. in the hall.",
        "“Was that so?” he asked his old friend.",
        "It was\nthat long in 1973.",
        "Nobody measured it again!",
    ]


def test_a_sentence_has_the_white_space_after_it_and_the_last_one_that_before_it() -> None:
    assert split("The first one is here. The second one is there.  The third one is last.") == [
        "The first one is here. ",
        "The second one is there.",
        "  The third one is last.",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("東大寺は8世紀に建てられた。大仏の高さは約15メートルである。金堂は世界最大級だ。", 3),
        ("यह पहला वाक्य है जो लंबा है। यह दूसरा वाक्य है जो लंबा है।", 2),
        ("ما هو أطول نهر في العالم؟ النهر الأطول هو نهر النيل في إفريقيا.", 2),
        ("- eggs, milk and some bread\n- a new lamp for the hall\n- flowers for the old lady", 3),
        (
            "def total(items):\n    return sum(each for each in items)\n\ndef empty():\n    return total([]) == 0\n",
            3,
        ),
        ("Rank | Name | Time\n1 | A. Valverde (ESP) | s.t. | 40\n2 | B. Kolobnev (RUS) | s.t. | 30", 3),
    ],
)
def test_other_scripts_lists_code_and_tables_have_sentences(text: str, count: int) -> None:
    assert len(split(text)) == count


def test_thai_which_has_no_full_stop_ends_at_a_blank_after_a_clause() -> None:
    text = "ปลาค้าวดำมีรูปร่างลำตัวยาวแต่ค่อนข้างป้อม ลำตัวที่อยู่ค่อนไปทางหางมีลักษณะแบนข้างมาก พื้นลำตัวสีเทาถึงดำสนิท ส่วนหัวมีขนาดใหญ่และแบน"
    assert 2 <= len(split(text)) <= 4


def test_a_heading_is_joined_with_what_follows_it_and_a_long_run_is_cut() -> None:
    assert split("# Undo\n\nTake the last commit back with a reset.") == [
        "# Undo\n\nTake the last commit back with a reset."
    ]
    parts = split("word " * 1000)
    assert max(len(TOKENS.findall(each)) for each in parts) <= 100


@pytest.mark.parametrize("run", [".", "。", " ", "\n", "\n ", ") ", "ก ", ". ", ".)", "a. "])
def test_a_run_of_signs_takes_linear_time(run: str) -> None:
    assert len(split(run * 100_000)) <= 64
