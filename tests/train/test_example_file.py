"""Examples are read strictly, from any tool's format, split without leaks, and refused where they cannot teach."""

import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import prompt
from qwen3_reranker.errors import InputError
from qwen3_reranker.train.example_file import TrainExample, normal, read_examples, write_examples
from qwen3_reranker.train.import_formats import read_any
from qwen3_reranker.train.splitting import split, unlike_asked
from qwen3_reranker.train.validation import check, lengths, rendered
from tests.train.tuning import fifty, opened


def lines(path: Path, *objects: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return path


def plain(examples: Sequence[TrainExample]) -> list[TrainExample]:
    return [replace(each, location="", id="") for each in examples]


def test_what_is_written_is_read_back_and_xz_is_read_too(tmp_path: Path) -> None:
    examples = fifty(scored=True)
    assert write_examples(tmp_path / "a.jsonl", examples) == 50
    assert plain(read_examples(tmp_path / "a.jsonl")) == examples
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress((tmp_path / "a.jsonl").read_bytes()))
    assert plain(read_examples(tmp_path / "b.jsonl.xz")) == examples


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query": "q", "pos": ["a"], "negs": []}, "unknown field 'negs'"),
        ({"pos": ["a"]}, "query must be a string"),
        ({"query": " ", "pos": ["a"]}, "query is empty"),
        ({"query": "q", "pos": "a"}, "pos must be a list"),
        ({"query": "q", "pos": ["a", ""]}, r"pos\[1\] is empty"),
        ({"query": "q", "pos": ["a"], "pos_scores": [1.0, 2.0]}, "pos_scores must be 1 finite"),
        ({"query": "q", "pos": ["a"], "pos_scores": [True]}, "pos_scores must be 1 finite"),
        ({"query": "q", "pos": [{"body": "a"}]}, r"pos\[0\] must be"),
        ({"query": "q", "pos": ["a"], "instruction": 3}, "instruction must be a string"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_line_that_is_not_as_it_must_be_is_named_with_its_field(tmp_path: Path, fields: object, message: str) -> None:
    path = lines(tmp_path / "bad.jsonl", {"query": "q", "pos": ["a"]}, fields)
    with pytest.raises(InputError, match=message) as caught:
        read_examples(path)
    assert f"{path}:2:" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\n", b"{\n", b"nonsense\n"])
def test_what_is_no_json_is_one_line_of_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.jsonl:1"):
        read_examples(tmp_path / "bad.jsonl")
    with pytest.raises(InputError, match="no such file"):
        read_examples(tmp_path / "missing.jsonl")


TOLD = {"instruction": "find it"}
WANTED = TrainExample("q", ("good",), ("bad", "worse"), "find it")


@pytest.mark.parametrize(
    ("form", "objects"),
    [
        ("examples", [{"query": "q", "pos": [{"text": "good"}], "neg": ["bad", "worse"], "instruction": "find it"}]),
        ("triplets", [{"anchor": "q", "positive": "good", "negative": "bad", "neg_2": "worse", **TOLD}]),
        ("triplets", [{"query": "q", "positive": ["good"], "negative": ["bad", "worse"], "instruction": "find it"}]),
        ("pairs", [
            {"query": "q", "document": text, "label": label, "instruction": "find it"}
            for text, label in (("good", 1), ("bad", 0.2), ("worse", False))
        ]),
        ("pairs", [
            {"sentence1": "q", "sentence2": text, "score": label, "instruction": "find it"}
            for text, label in (("good", 0.9), ("bad", 0.0), ("worse", 0.4))
        ]),
        ("lists", [{"query": "q", "docs": ["good", "bad", "worse"], "labels": [1, 0, 0], "instruction": "find it"}]),
        ("pairs", [
            {"query": "q", "response": text, "label": label, "instruction": "find it"}
            for text, label in (("good", "yes"), ("bad", "no"), ("worse", "No"))
        ]),
        ("lists", [{"query": "q", "docs": ["good", "bad", "worse"], "labels": ["true", "false", "0"], **TOLD}]),
        ("flag-embedding", [{
            "query": "q", "pos": ["good"], "neg": ["bad", "worse"], "query_prompt": "find it", "type": 1,
        }]),
        ("ms-swift", [{"query": "q", "response": "good", "rejected_response": ["bad", "worse"], "system": "find it"}]),
        ("ms-swift", [{
            "messages": [
                {"role": "system", "content": "find it"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "good"},
            ],
            "rejected_response": ["bad", "worse"],
        }]),
        ("ms-swift", [{
            "messages": [{"role": "system", "content": "find it"}, {"role": "user", "content": "q"}],
            "positive_messages": [[{"role": "assistant", "content": "good"}]],
            "negative_messages": [[{"role": "assistant", "content": text}] for text in ("bad", "worse")],
        }]),
    ],
)  # fmt: skip
def test_every_tool_s_format_gives_the_same_example_named_or_guessed(
    tmp_path: Path, form: str, objects: list[dict[str, Any]]
) -> None:
    path = lines(tmp_path / "data.jsonl", *objects)
    assert plain(read_any(path, form)) == plain(read_any(path)) == [WANTED]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a": 1}, "no known format"),
        ({"query": "q", "document": "d", "label": 7}, r"0\.\.1"),
        ({"query": "q", "document": "d", "label": "perhaps"}, "yes or no, .* got 'perhaps'"),
        ({"query": "q", "rejected_response": ["a"]}, "expected a field response"),
        ({"query": "q", "response": "d", "rejected_response": [3]}, "rejected_response must be a string"),
        ({"query": "q", "docs": ["a"], "labels": [1, 0]}, "one length"),
        ({"messages": "hello", "positive_messages": []}, "messages must be a list"),
    ],
)
def test_a_file_of_no_format_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_any(lines(tmp_path / "data.jsonl", fields))


def test_the_sentence_for_flag_embedding_s_judge_is_no_instruction_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    sentence = "Given a query A and a passage B, determine whether the passage contains an answer to the query."
    path = lines(tmp_path / "data.jsonl", {"query": "q", "pos": ["good"], "neg": ["bad"], "prompt": sentence})
    told: list[str] = []
    [found] = read_any(path, on_message=told.append)
    assert found.instruction is None
    assert len(told) == 1
    assert f"{path}:1" in told[0]
    assert "name it instruction" in told[0]


def test_a_share_that_is_far_from_what_was_asked_is_told_with_the_reason() -> None:
    examples = [TrainExample(f"query {n}", (f"document {n % 3}",), ("no",)) for n in range(90)]
    told = unlike_asked(*split(examples, 0.01), 0.01)
    assert told is not None
    assert "30 of 90 queries are held out instead of 1%" in told
    assert "here in 3 groups" in told
    alone = [TrainExample(f"query {n}", (f"document {n}",), ("no",)) for n in range(400)]
    assert unlike_asked(*split(alone, 0.2), 0.2) is None
    assert unlike_asked(*split(alone, 0.0), 0.0) is None


def test_a_split_keeps_queries_and_shared_positives_on_one_side_and_does_not_depend_on_order() -> None:
    examples = [TrainExample(f"query {n}", (f"document {n // 2}",), ("no",)) for n in range(400)]
    examples += [replace(each, query=each.query.upper() + " ", positives=("other",)) for each in examples[:1]]
    training, held_out = split(examples, 0.25, seed=3)
    assert len(training) + len(held_out) == 401
    assert 60 < len(held_out) < 140
    assert not {text for each in training for text in each.positives} & {
        text for each in held_out for text in each.positives
    }
    assert not {normal(each.query) for each in training} & {normal(each.query) for each in held_out}
    backwards = split(examples[::-1], 0.25, seed=3)
    assert {each.query for each in backwards[1]} == {each.query for each in held_out}
    assert split(examples, 0.25, seed=4)[1] != held_out
    assert check(training, held_out).errors == ()
    with pytest.raises(InputError, match="share"):
        split(examples, 1.0)


def test_some_queries_are_held_out_however_few_there_are_and_none_where_none_are_wanted() -> None:
    for seed in range(20):
        training, held_out = split(fifty(seed, count=3), 0.01, seed)
        assert (len(training), len(held_out)) == (2, 1)
        assert split(fifty(seed, count=3), 0.0, seed)[1] == []
        assert split(fifty(seed, count=1), 0.01, seed)[1] == []


def test_every_kind_of_fault_is_found_with_its_count_and_place() -> None:
    good = TrainExample("q", ("a",), ("b",), location="f:1")
    report = check(
        [good, TrainExample("r", (), (), location="f:2"), TrainExample("s", ("x",), ("X ",), location="f:3")],
        [TrainExample("Q", ("z",), ("b",), location="e:1"), TrainExample("t", ("A",), ("b",), location="e:2")],
    )
    found = [(each.problem, each.location) for each in report.errors]
    assert found == [
        ("a query without documents", "f:2"),
        ("a document is positive and negative for one query", "f:3"),
        ("a held-out query is trained on", "e:1"),
        ("a held-out query's positive document is a positive in training", "e:2"),
    ]
    with pytest.raises(InputError, match="3 more kinds of error"):
        report.refuse()
    assert check([good], losses=("softmax",)).errors == ()
    assert "softmax" in str(check([good, TrainExample("r", ("a",), ())], losses=("softmax",)).errors[0])
    assert "train distil" in str(check([good], losses=("kl",)).errors[0])
    assert "answer one word" in str(check([replace(good, negatives=())]).errors[0])


def test_the_preview_is_what_the_model_reads(small_checkpoint: Path) -> None:
    _, tokens = opened(small_checkpoint)
    card = prompt.template("card")
    example = TrainExample("why?", ("because",), ("no reason",))
    (yes, positive), (no, negative) = rendered(example, card)
    assert (yes, no) == ("yes", "no")
    assert positive.startswith("<|im_start|>system\nJudge whether")
    assert "<Query>: why?\n<Document>: because<|im_end|>" in positive
    assert "<Document>: no reason<|im_end|>" in negative
    found = lengths([example, replace(example, positives=("word " * 2000,))], card, tokens)
    assert (found.rows, found.cut, found.max_length) == (4, 1, 512)
    assert found.longest > 2000 > 512 > found.median
