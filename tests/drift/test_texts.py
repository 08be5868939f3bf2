"""The built-in text set is what its docstrings promise."""

from __future__ import annotations

import unicodedata

from qwen3_reranker.drift import Question, text_set

# What most letters of a language are called in Unicode.
SCRIPTS = {
    "Russian": ("CYRILLIC",),
    "Arabic": ("ARABIC",),
    "Chinese": ("CJK",),
    "Japanese": ("HIRAGANA", "KATAKANA", "CJK"),
    "Hindi": ("DEVANAGARI",),
}


def test_every_question_has_eighteen_documents_of_three_kinds() -> None:
    questions = text_set()
    assert len(questions) == 10
    for question in questions:
        assert (len(question.relevant), len(question.related), len(question.unrelated)) == (5, 7, 6)
        assert question.documents == question.relevant + question.related + question.unrelated


def test_no_text_is_empty_or_stands_twice() -> None:
    texts = [text for question in text_set() for text in (question.query, *question.documents)]
    assert len(set(texts)) == len(texts)
    assert all(text.strip() for text in texts)
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


def test_nine_languages_in_their_own_script_and_code() -> None:
    assert len({question.language for question in text_set()}) == 10
    assert "code" in {question.language for question in text_set()}
    for question in text_set():
        assert mostly(question, SCRIPTS.get(question.language, ("LATIN",))), question.language


def mostly(question: Question, scripts: tuple[str, ...]) -> bool:
    """Whether every text of a question is written in these scripts for the most part."""
    for text in (question.query, *question.documents):
        names = [unicodedata.name(character) for character in text if character.isalpha()]
        if sum(name.startswith(scripts) for name in names) <= len(names) / 2:
            return False
    return True


def test_documents_are_short_and_long() -> None:
    for question in text_set():
        lengths = sorted(len(document.encode()) for document in question.documents)
        assert lengths[0] < 110
        assert lengths[-1] > 600
