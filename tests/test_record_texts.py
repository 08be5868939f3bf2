"""Documents may be records of any kind: their texts are found, the records come back, and an error names its place."""

import sqlite3
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from langchain_core.documents import Document

from qwen3_reranker import InputError, RecordError, Reranker
from qwen3_reranker.record_texts import record_texts
from testing.texts import documents

QUERY = "Are all people born free?"
TEXTS = documents(0, 5, 30)
RECORDS = [{"id": f"D{index}", "text": text} for index, text in enumerate(TEXTS)]


@dataclass
class Page:
    """A record with attributes."""

    text: str


class Slotted:
    """A record without a dictionary."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Kind(StrEnum):
    """A string of another type."""

    GIT = "git reset"


Pair = namedtuple("Pair", ("id", "text"))


def sqlite_rows() -> list[sqlite3.Row]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    rows = connection.execute(" UNION ALL ".join(["SELECT ? AS text"] * len(TEXTS)), TEXTS).fetchall()
    connection.close()
    return rows


GIVEN: dict[str, Callable[[], Any]] = {
    "a list": lambda: TEXTS,
    "a tuple": lambda: tuple(TEXTS),
    "a generator": lambda: (text for text in TEXTS),
    "map": lambda: map(str, TEXTS),
    "the values of a dictionary": lambda: dict(enumerate(TEXTS)).values(),
    "dictionaries": lambda: RECORDS,
    "a generator of dictionaries": lambda: iter(RECORDS),
    "objects": lambda: [Page(text) for text in TEXTS],
    "objects with slots": lambda: [Slotted(text) for text in TEXTS],
    "named tuples": lambda: [Pair(index, text) for index, text in enumerate(TEXTS)],
    "strings and dictionaries": lambda: [TEXTS[0], *RECORDS[1:]],
    "rows of SQLite": sqlite_rows,
    "an array of numpy": lambda: np.array(TEXTS),
    "an array of objects": lambda: np.array(TEXTS, dtype=object),
    "a structured array": lambda: np.array([(text,) for text in TEXTS], dtype=[("text", "U400")]),
    "a Series of pandas": lambda: pandas.Series(TEXTS, index=list("vwxyz")),
    "a DataFrame of pandas": lambda: pandas.DataFrame(RECORDS, index=list("vwxyz")),
    "rows of pandas": lambda: [row for _, row in pandas.DataFrame(RECORDS).iterrows()],
    "a Series of polars": lambda: polars.Series(TEXTS),
    "a DataFrame of polars": lambda: polars.DataFrame(RECORDS),
    "an array of Arrow": lambda: pyarrow.array(TEXTS),
    "a column of Arrow": lambda: pyarrow.table({"text": TEXTS})["text"],
    "a table of Arrow": lambda: pyarrow.Table.from_pylist(RECORDS),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_the_texts_of_every_kind_of_collection_are_plain_strings_in_its_order(kind: str) -> None:
    read = record_texts("documents", GIVEN[kind](), "text")
    assert list(read.texts) == TEXTS
    assert {type(text) for text in read.texts} == {str}
    assert len(read.records) == len(TEXTS)


def test_a_hit_holds_the_very_record_that_was_passed(small_reranker: Reranker) -> None:
    ranking = small_reranker.rank(QUERY, RECORDS)
    assert len(ranking) == len(RECORDS)
    assert all(hit.item is RECORDS[hit.index] and hit.document == hit.item["text"] for hit in ranking)
    assert list(ranking) == list(small_reranker.rank(QUERY, TEXTS))


def test_the_key_is_a_field_an_attribute_or_a_function(small_reranker: Reranker) -> None:
    chain = [Document(page_content=text, metadata={"id": index}) for index, text in enumerate(TEXTS)]
    by_attribute = small_reranker.rank(QUERY, chain, key="page_content")
    assert [hit.item.metadata["id"] for hit in by_attribute] == [hit.index for hit in by_attribute]
    by_function = small_reranker.rank(QUERY, chain, key=lambda document: document.page_content)
    by_field = small_reranker.rank(QUERY, [{"body": text} for text in TEXTS], key="body")
    assert list(by_attribute) == list(by_function) == list(by_field)
    upper = small_reranker.rank(QUERY, TEXTS, key=str.upper)
    assert {hit.document for hit in upper} == {text.upper() for text in TEXTS}
    assert {hit.item for hit in upper} == set(TEXTS)


def test_the_item_of_a_data_frame_is_its_row(small_reranker: Reranker) -> None:
    frame = pandas.DataFrame(RECORDS, index=list("vwxyz"))
    for hit in small_reranker.rank(QUERY, frame):
        assert (hit.item.name, hit.item["id"]) == ("vwxyz"[hit.index], f"D{hit.index}")
    for hit in small_reranker.rank(QUERY, polars.DataFrame(RECORDS), key=lambda row: row["text"]):
        assert hit.item == RECORDS[hit.index]


def test_scores_and_trees_take_records_too(small_reranker: Reranker) -> None:
    expected = small_reranker.score(QUERY, TEXTS).logits
    assert np.array_equal(small_reranker.score(QUERY, pandas.DataFrame(RECORDS)).logits, expected)
    assert small_reranker.tree(QUERY, iter(RECORDS)).num_rows == len(TEXTS)


def raising(_record: object) -> str:
    raise KeyError("body")


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        ([{"text": "a"}, {"id": 3, "body": "b"}], "text", r"[1] has no field 'text' (its fields: 'id', 'body'); name"),
        ([Page("a"), Slotted("b"), Pair(1, "c")], "body", "[0] has no field 'body' (its fields: 'text'); name one"),
        (["a", Pair(1, "c")], "body", "[1] has no field 'body' (its fields: 'id', 'text')"),
        ([{"text": "a"}, {"text": None}], "text", "[1]: the field 'text' must be a string, got NoneType"),
        (["a", 3], "text", "[1] must be a string or a record, got int"),
        (["a", ["b"]], "text", "[1] must be a string or a record, got list"),
        (["a", b"b"], "text", "[1] must be a string or a record, got bytes"),
        (pandas.Series(["a", None]), "text", "[1] must be a string or a record, got "),
        (pandas.DataFrame({"text": ["a", float("nan")]}), "text", "[1] must be a string, got float nan"),
        (polars.DataFrame({"text": ["a", None]}), "text", "[1] must be a string, got NoneType"),
        (["a", "b"], raising, "[0]: key failed with KeyError: 'body'"),
        (["a"], len, "[0]: what key gives must be a string, got int"),
    ],
)
def test_a_record_without_a_text_is_named_by_its_index(given: Any, key: Any, message: str) -> None:
    with pytest.raises(RecordError) as caught:
        record_texts("documents", given, key)
    assert str(caught.value).startswith(f"documents{message}")
    assert f"documents[{caught.value.index}]" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        ("a text", "text", "documents must be a list of strings or records, got str"),
        ({"text": "a"}, "text", "documents must be a list of strings or records, got dict"),
        ({"a", "b"}, "text", "documents must be a list of strings or records, got set"),
        (3, "text", "documents must be a list of strings or records, got int"),
        (np.array("a"), "text", "documents must be a list of strings or records, got ndarray"),
        (polars.LazyFrame({"text": ["a"]}), "text", "documents must be a list of strings or records, got LazyFrame"),
        (["a"], 3, "key must be the name of a field or a function, got int"),
        (["a"], None, None),
        (pandas.DataFrame({"text": ["a"]}), None, "documents must be a list of strings, got DataFrame; pass one"),
        (pandas.DataFrame({"id": [1], "body": ["a"]}), "text", "documents has no column 'text' (its columns: 'id', 'b"),
        (pandas.DataFrame([["a", "b"]], columns=["text"] * 2), "text", "documents has several columns 'text'; rename"),
    ],
)
def test_what_is_no_list_of_records_is_refused(given: Any, key: Any, message: str | None) -> None:
    if message is None:
        assert record_texts("documents", given, key).texts == given
        return
    with pytest.raises(InputError) as caught:
        record_texts("documents", given, key)
    assert str(caught.value).startswith(message)


def test_a_string_of_another_type_becomes_a_plain_one() -> None:
    [text] = record_texts("documents", [Kind.GIT], "text").texts
    assert (type(text), text) == (str, "git reset")


def test_a_list_of_strings_is_taken_as_it_is() -> None:
    assert record_texts("documents", TEXTS, "text").texts is TEXTS


def test_dictionaries_of_a_ranking_hold_the_record_unless_it_is_the_text(small_reranker: Reranker) -> None:
    [first, *_] = small_reranker.rank(QUERY, RECORDS).to_dicts()
    assert first["item"] is RECORDS[first["index"]]
    assert "item" not in small_reranker.rank(QUERY, TEXTS).to_dicts()[0]


def test_a_ranking_becomes_a_data_frame_with_the_fields_of_its_records(small_reranker: Reranker) -> None:
    records = [{"text": text, "index": 40 + number, "url": f"u{number}"} for number, text in enumerate(TEXTS)]
    frame = small_reranker.rank(QUERY, records).to_pandas()
    assert list(frame.columns) == [
        *("rank", "index", "logit", "probability", "document", "text", "item_index", "url"),
    ]
    assert list(frame["rank"]) == [1, 2, 3, 4, 5]
    assert list(frame["item_index"]) == list(frame["index"] + 40)
    assert (frame["text"] == frame["document"]).all()
    of_rows = small_reranker.rank(QUERY, pandas.DataFrame(records)).to_pandas()
    pandas.testing.assert_frame_equal(of_rows, frame, check_dtype=False)
    assert list(small_reranker.rank(QUERY, TEXTS).to_pandas().columns) == list(frame.columns[:5])
    assert list(small_reranker.rank(QUERY, []).to_pandas().columns) == list(frame.columns[:5])
