"""What is judged of a document, and what is given back."""

from typing import Any

import pytest

from qwen3_reranker.serve.dialects.document_text import echo_of, text_of
from qwen3_reranker.serve.problems import Problem

TEXTS: dict[str, tuple[Any, list[str] | None, str]] = {
    "a string as it is": (" plain ", None, " plain "),
    "the text of an object, whatever else it holds": ({"title": "t", "text": "x"}, None, "x"),
    "the content of an object": ({"content": "x"}, None, "x"),
    "parts of a message, one below the other": (
        {"content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        None,
        "a\nb",
    ),
    "other objects as lines in their order": (
        {"z": "last", "a": 1, "b": True, "c": None},
        None,
        "z: last\na: 1\nb: true",
    ),
    "what is nested as JSON on its line": (
        {"tags": ["é", 2], "by": {"name": "n"}},
        None,
        'tags: ["é", 2]\nby: {"name": "n"}',
    ),
    "the chosen fields in the chosen order": ({"a": "1", "b": "2", "c": "3"}, ["c", "a", "nothing"], "c: 3\na: 1"),
    "a text that is chosen alone without its name": ({"text": "x", "title": "t"}, ["text"], "x"),
    "a text that is chosen among others with its name": (
        {"text": "x", "title": "t"},
        ["title", "text"],
        "title: t\ntext: x",
    ),
    "a string, for which there are no fields to choose": ("x", ["title"], "x"),
    "nothing where all chosen fields are missing": ({"text": "x"}, ["title"], ""),
    "an image's address among facts": (
        {"title": "t", "image": "https://e.example/i.png"},
        None,
        "title: t\nimage: https://e.example/i.png",
    ),
    "an empty object": ({}, None, ""),
}


@pytest.mark.parametrize(("document", "rank_fields", "text"), TEXTS.values(), ids=TEXTS)
def test_what_is_judged_is(document: Any, rank_fields: list[str] | None, text: str) -> None:
    assert text_of(document, rank_fields, "documents.0") == text


REFUSED: dict[str, tuple[Any, str, str]] = {
    "a number": (5, "document_not_string", "documents.3"),
    "null": (None, "document_not_string", "documents.3"),
    "a list": (["x"], "document_not_string", "documents.3"),
    "an image alone": ({"image": "data:..."}, "unsupported_modality", "documents.3"),
    "an image with a text": ({"image": "data:...", "text": "x"}, "unsupported_modality", "documents.3"),
    "an image among parts": (
        {"content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        "unsupported_modality",
        "documents.3.content.1.type",
    ),
    "a part without text": ({"content": [{"type": "text"}]}, "document_not_string", "documents.3.content.0.text"),
}


@pytest.mark.parametrize(("document", "code", "parameter"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_text_is_refused_with_its_place(document: Any, code: str, parameter: str) -> None:
    with pytest.raises(Problem) as raised:
        text_of(document, None, "documents.3")
    assert (raised.value.status, raised.value.code, raised.value.parameter) == (400, code, parameter)
    assert f"`{parameter}`" in raised.value.message


def test_an_echo_always_has_a_text_and_keeps_the_fields_it_came_with() -> None:
    assert echo_of("x", "x") == {"text": "x"}
    assert echo_of({"text": "x", "title": "t"}, "title: t") == {"text": "x", "title": "t"}
    assert echo_of({"title": "t"}, "title: t") == {"title": "t", "text": "title: t"}
    assert echo_of({"text": 5}, "text: 5") == {"text": "text: 5"}
