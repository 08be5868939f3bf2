"""gguf_tokenizer: what comes out of a GGUF file is the published tokenizer, id for id, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker import prompt
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.tokens import TokenizerJson, Tokens
from qwen3_reranker.weights.gguf_header import read_header
from qwen3_reranker.weights.gguf_tokenizer import read_gguf_tokenizer
from testing.gguf_files import add_fields, finish, tokenizer_fields
from testing.tokenizer import SMALL_ENTRIES, small_tokenizer

CARD = prompt.template("card")
VECTORS = Path(__file__).parents[2] / "testing" / "tokenizer"
NANO = Path(__file__).parents[2] / "qwen3_reranker/weights/bundled/nano/tokenizer.json"
MODES = ("literal", "parse")


def through_gguf(path: Path, tokenizer: Path, fields: Mapping[str, Any] | None = None) -> TokenizerJson:
    """The tokenizer of a file that holds nothing else."""
    writer = gguf.GGUFWriter(path, "qwen3")
    add_fields(writer, {**tokenizer_fields(tokenizer.parent), **(fields or {})})
    finish(writer)
    return read_gguf_tokenizer(read_header(path).metadata)


def tokens(tokenizer: TokenizerJson, mode: str) -> Tokens:
    return Tokens(tokenizer, prefix=CARD.prefix, suffix=CARD.suffix, max_length=8192, special_tokens=mode)


@dataclass(frozen=True)
class Both:
    """A tokenizer as published and through GGUF, in either mode."""

    name: str
    published: dict[str, Tokens]
    ours: dict[str, Tokens]


@pytest.fixture(scope="module", params=[pytest.param("Qwen3", marks=pytest.mark.slow), "nano"])
def tokenizer_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what does not depend on the words that a tokenizer knows."""
    path = tmp_path_factory.mktemp("small") / "tokenizer.json"
    path.write_bytes(small_tokenizer())
    return path


@pytest.fixture(scope="module")
def published(tokenizer_name: str, request: pytest.FixtureRequest) -> TokenizerJson:
    return TokenizerJson.read(request.getfixturevalue("qwen3_tokenizer_file") if tokenizer_name == "Qwen3" else NANO)


@pytest.fixture(scope="module")
def ours(published: TokenizerJson, tmp_path_factory: pytest.TempPathFactory) -> TokenizerJson:
    return through_gguf(tmp_path_factory.mktemp("gguf") / "x.gguf", Path(published.source))


@pytest.fixture(scope="module")
def both(tokenizer_name: str, published: TokenizerJson, ours: TokenizerJson) -> Both:
    return Both(tokenizer_name, *({mode: tokens(each, mode) for mode in MODES} for each in (published, ours)))


def ids(tokenizer: Tokens, text: str) -> list[int]:
    return list(tokenizer.text_encoder.encode([text])[0])


def without_flags(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, "added_tokens": [{**token, "special": None} for token in fields["added_tokens"]]}


def test_every_field_but_the_flag_special_is_that_of_tokenizer_json(
    ours: TokenizerJson, published: TokenizerJson
) -> None:
    assert without_flags(ours.fields) == without_flags(published.fields)
    flags = {token["content"]: token["special"] for token in ours.fields["added_tokens"]}
    assert flags["<|im_end|>"]
    assert not flags["<think>"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["vectors_llama_cpp.json", "vectors_hf_qwen2.json"])
def test_published_vectors_give_the_published_ids(both: Both, name: str, mode: str) -> None:
    published, ours = both.published[mode], both.ours[mode]
    for case in json.loads((VECTORS / name).read_text(encoding="utf-8"))["cases"]:
        assert ids(ours, case["text"]) == ids(published, case["text"])
        if both.name == "Qwen3" and "<|" not in case["text"]:
            assert ids(ours, case["text"]) == case["ids"]


PIECES = [
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<|im",
    "_end|>",
    "<tool_call>",
    "'LL",
    "'s",
]
PIECES += [
    "a",
    "Z",
    "7",
    "é",
    "e\u0301",
    "\u0338",
    "각",
    "\u1100\u1161",
    "日本",
    "ไทย",
    "עברית",
    "🙂",
    "👩‍👩‍👧",
    "[PAD151700]",
]


@pytest.mark.parametrize("mode", MODES)
@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join))
def test_any_text_gives_the_published_ids(both: Both, mode: str, text: str) -> None:
    published, ours = both.published[mode], both.ours[mode]
    assert ids(ours, text) == ids(published, text)


@pytest.mark.parametrize("mode", MODES)
def test_the_template_and_the_answers_are_the_published_ids(both: Both, mode: str) -> None:
    published, ours = both.published[mode], both.ours[mode]
    assert ours.control_ids == published.control_ids
    assert ours.num_entries == published.num_entries
    assert (ours.yes_id, ours.no_id) == (published.yes_id, published.no_id)
    assert ours.prefix_ids.tolist() == published.prefix_ids.tolist()
    assert ours.suffix_ids.tolist() == published.suffix_ids.tolist()


def test_words_that_only_fill_the_vocabulary_are_no_words(small: Path, tmp_path: Path) -> None:
    fields = tokenizer_fields(small.parent)
    changed = {
        "tokenizer.ggml.tokens": [*fields["tokenizer.ggml.tokens"], f"[PAD{SMALL_ENTRIES}]"],
        "tokenizer.ggml.token_type": [*fields["tokenizer.ggml.token_type"], 5],
    }
    assert through_gguf(tmp_path / "x.gguf", small, changed).fields == through_gguf(tmp_path / "y.gguf", small).fields


def test_words_that_a_fine_tuning_added_are_read_as_those_of_the_folder(tmp_path: Path) -> None:
    fields = json.loads(small_tokenizer())
    known = fields["model"]["vocab"]
    new = {word: number for number, word in enumerate(("<part-no>", " foo bar", "Straße", "中"), SMALL_ENTRIES)}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    # Two of the vocabulary's own are among them: one that merges make, and a byte.
    added = [
        {"id": number, "content": word, **flags, "normalized": True}
        for word, number in (new | {word: known[word] for word in ("and", "x")}).items()
    ]
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({**fields, "added_tokens": [*fields["added_tokens"], *added]}), encoding="utf-8"
    )
    published = tokens(TokenizerJson.read(tmp_path / "tokenizer.json"), "literal")
    ours = tokens(through_gguf(tmp_path / "x.gguf", tmp_path / "tokenizer.json"), "literal")
    assert ours.added_words.items() == published.added_words.items()
    assert len(ours.added_words) == 6
    assert ours.control_ids == published.control_ids
    for text in ("a <part-no> x", "no foo bar of sandals", "Strasse Straße 中文", "and lynx <think> <tool_call>"):
        assert ids(ours, text) == ids(published, text)


# what is wrong: (what the error says, the changed fields)
DAMAGE: dict[str, tuple[str, Mapping[str, Any]]] = {
    "another model": ("model must be 'gpt2', got 'llama'", {"tokenizer.ggml.model": "llama"}),
    "another split": ("pre must be 'qwen2', got 'default'", {"tokenizer.ggml.pre": "default"}),
    "no split": ("pre' is missing", {"tokenizer.ggml.pre": None}),
    "no words": ("tokens' is missing", {"tokenizer.ggml.tokens": None}),
    "words are numbers": ("an array of strings", {"tokenizer.ggml.tokens": [1, 2]}),
    "no types": ("token_type' is missing", {"tokenizer.ggml.token_type": None}),
    "too few types": ("what each of the 1,050 tokens is, got 2 types", {"tokenizer.ggml.token_type": [1, 1]}),
    "a type that Qwen3 has not": ("token 0 is of type 6", {"tokenizer.ggml.token_type": [6] * SMALL_ENTRIES}),
    "a word twice": (
        "'a' is token 0 and 2",
        {"tokenizer.ggml.tokens": ["a", "b", "a"], "tokenizer.ggml.token_type": [1, 1, 1]},
    ),
    "no merges": ("merges' is missing", {"tokenizer.ggml.merges": None}),
    "a merge of one": ("merge 1 must be two parts", {"tokenizer.ggml.merges": ["a b", "c"]}),
    "a merge of three": ("merge 0 must be two parts", {"tokenizer.ggml.merges": ["a b c"]}),
}


@pytest.mark.parametrize(("said", "fields"), DAMAGE.values(), ids=DAMAGE)
def test_a_tokenizer_of_another_kind_is_refused(
    said: str, fields: Mapping[str, Any], small: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        through_gguf(tmp_path / "x.gguf", small, fields)
    assert str(caught.value).startswith(str(tmp_path / "x.gguf"))
    assert "\n" not in str(caught.value)
