"""Words that a fine-tuning added are read as their tokens, as transformers reads them; control tokens are not."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qwen3_reranker import prompt
from qwen3_reranker.added_tokens import QWEN_CONTROL
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.fast_tokenizer import FastTokenizer
from qwen3_reranker.records import QueryPrefix
from qwen3_reranker.tokens import TokenizerJson, Tokens
from testing.tokenizer import SMALL_ENTRIES, small_tokenizer

CARD = prompt.template("card")
# With the flags that a library may give them. None lies across a place where the prompt is cut.
WORDS: dict[str, dict[str, bool]] = {
    "<part-no>": {},
    "C++26": {"normalized": True},
    " commit": {"normalized": True},
    "HEAD~": {},
    "Straße": {"normalized": True},
    "e\u0301lan": {"normalized": True},
    "naïve": {"normalized": False},
    "left": {"lstrip": True},
    "right": {"rstrip": True},
    "both": {"lstrip": True, "rstrip": True, "normalized": True},
    "alone": {"single_word": True},
    "and": {"normalized": True},
    "<|im_end|>x": {"normalized": True},
    "<|part|>": {},
    "\n\n\n": {},
    "日本": {"normalized": True},
}


def entry(number: int, content: str, **flags: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return {"id": number, "content": content, **plain, **flags}


def extended(words: dict[str, dict[str, bool]], first: int = SMALL_ENTRIES) -> TokenizerJson:
    """The small tokenizer with these words behind its control tokens; one that it knows already keeps its id."""
    fields = json.loads(small_tokenizer())
    known = fields["model"]["vocab"]
    new = [content for content in words if content not in known]
    ids = {**known, **{content: number for number, content in enumerate(new, first)}}
    added = [entry(ids[content], content, **flags) for content, flags in words.items()]
    return TokenizerJson({**fields, "added_tokens": [*fields["added_tokens"], *added]}, "tokenizer.json")


def tokens_of(tokenizer: TokenizerJson, mode: str = "literal", fast: bool = False) -> Tokens:
    return Tokens(tokenizer, prefix=CARD.prefix, suffix=CARD.suffix, max_length=8192, special_tokens=mode, fast=fast)


@pytest.fixture(scope="module")
def tokenizer() -> TokenizerJson:
    return extended(WORDS)


@pytest.fixture(scope="module", params=["literal", "parse"])
def tokens(request: pytest.FixtureRequest, tokenizer: TokenizerJson) -> Tokens:
    return tokens_of(tokenizer, request.param)


@pytest.fixture(scope="module")
def whole(tokenizer: TokenizerJson, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' tokenizer of the same folder; it takes seconds to import."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("folder")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer.fields))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return AutoTokenizer.from_pretrained(folder)


def ids_of_pair(tokens: Tokens, query: str, document: str, instruction: str | None = None) -> list[int]:
    [row] = tokens.encode(*CARD.pieces(instruction, [query], [document]))
    return list(row.ids)


def texts_with_words() -> st.SearchStrategy[str]:
    between = ["", " ", "  ", "\n", "\u00a0", ":", "?", "<", ">", "a", "Z", "7", "é", "\u0301", "x", "_", "<Document>:"]
    pieces = st.sampled_from([*WORDS, *(unicodedata.normalize("NFD", word) for word in WORDS), *between])
    return st.lists(pieces, max_size=8).map("".join).filter(lambda text: not any(each in text for each in QWEN_CONTROL))


@pytest.mark.slow
@given(instruction=texts_with_words(), query=texts_with_words(), document=texts_with_words())
def test_added_words_in_any_place_give_the_tokens_that_transformers_gives(
    tokens: Tokens, whole: Any, instruction: str, query: str, document: str
) -> None:
    text = f"{CARD.prefix}<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}{CARD.suffix}"
    expected = whole(text, add_special_tokens=False).input_ids
    assert ids_of_pair(tokens, query, document, instruction) == expected


@pytest.mark.slow
@given(instruction=texts_with_words(), query=texts_with_words())
def test_added_words_in_an_embedded_text_give_the_tokens_that_transformers_gives(
    tokens: Tokens, whole: Any, instruction: str, query: str
) -> None:
    before = prompt.query_prompt(instruction)
    for head, tail in zip(*prompt.embedding_pieces(before, [query]), strict=True):
        [row] = tokens.encode([head], [tail])
        inside = list(row.ids)[len(tokens.prefix_ids) : -len(tokens.suffix_ids)]
        assert inside == whole(before + query, add_special_tokens=False).input_ids


def test_every_added_word_is_one_token_with_the_id_that_the_file_gives_it(tokenizer: TokenizerJson) -> None:
    tokens = tokens_of(tokenizer)
    for word, number in tokens.added_words.items():
        assert number in ids_of_pair(tokens, "q", f"x {word} x")
    assert tokens.num_words == max(tokens.added_words.values()) + 1 == tokens.num_entries


def test_control_tokens_stay_out_of_texts_whatever_their_flag_and_whoever_added_them(tokenizer: TokenizerJson) -> None:
    own = entry(SMALL_ENTRIES + len(WORDS), "<|domain|>", special=True)
    added = [*tokenizer.fields["added_tokens"], own]
    tokens = tokens_of(TokenizerJson({**tokenizer.fields, "added_tokens": added}, "x"))
    assert set(tokens.control_ids) == QWEN_CONTROL | {"<|domain|>"}
    for string, number in tokens.control_ids.items():
        frame = [*tokens.prefix_ids, *tokens.suffix_ids]
        assert ids_of_pair(tokens, string, f"a {string}", string).count(number) == frame.count(number)


def test_ids_are_those_of_the_file_where_the_library_would_number_the_words_anew() -> None:
    first = SMALL_ENTRIES + 100
    gap = tokens_of(extended({"<part-no>": {}, "C++26": {"normalized": True}}, first))
    assert [number for number in ids_of_pair(gap, "q", "C++26 <part-no>") if number >= SMALL_ENTRIES] == [
        first + 1,
        first,
    ]


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ({": x": {}}, ("q", "x")),
        ({"Document>: ": {}}, ("q", "")),
        ({"commit\n<Document>: ": {}}, ("commit", "x")),
        ({"<Document>:": {"rstrip": True}}, ("q", "x")),
        ({"\n<": {"normalized": True}}, ("q", "x")),
        ({"<Instruct>": {"lstrip": True}}, ("q", "x")),
    ],
)
def test_a_word_that_could_lie_across_a_cut_of_the_prompt_is_refused(
    words: dict[str, dict[str, bool]], pieces: tuple[str, str]
) -> None:
    with pytest.raises(CheckpointError, match=r"an added word could begin in .* and end in the text behind it"):
        ids_of_pair(tokens_of(extended(words)), *pieces)


def test_a_word_that_is_seen_by_what_stands_before_it_is_refused_behind_a_cut() -> None:
    tokens = tokens_of(extended({":What": {"single_word": True}}))
    with pytest.raises(CheckpointError, match="'Instruct: find\\\\nQuery' of the prompt"):
        tokens.encode([QueryPrefix("Instruct: find\nQuery", "", "")], [":What"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("<|im_start|>user", "would lose a control token"),
        ("x<|im", "could begin in a text and end in the prompt's"),
    ],
)
def test_a_word_that_takes_a_control_token_from_the_prompt_is_refused(word: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        tokens_of(extended({word: {}}))
    # In what is left between control tokens it is not found.
    assert ids_of_pair(tokens_of(extended({word: {"normalized": True}})), "q", "d")


def test_a_word_with_the_id_of_another_is_refused() -> None:
    fields = json.loads(small_tokenizer())
    for number in (5, fields["model"]["vocab"]["and"]):
        added = [*fields["added_tokens"], entry(number, "<part-no>")]
        with pytest.raises(CheckpointError, match=f"'<part-no>' has the id {number}, which is another word's"):
            tokens_of(TokenizerJson({**fields, "added_tokens": added}, "tokenizer.json"))
    clash = [*fields["added_tokens"], entry(SMALL_ENTRIES - 1, "<part-no>")]
    with pytest.raises(CheckpointError, match="belong to control tokens"):
        tokens_of(TokenizerJson({**fields, "added_tokens": clash}, "tokenizer.json"))


def test_the_list_of_control_tokens_is_that_of_the_published_tokenizer(qwen3_tokenizer: TokenizerJson) -> None:
    assert {token["content"] for token in qwen3_tokenizer.fields["added_tokens"]} == QWEN_CONTROL


def test_the_faster_tokenizer_is_not_used_where_words_were_added(tokenizer: TokenizerJson) -> None:
    assert not isinstance(tokens_of(tokenizer, fast=True).text_encoder, FastTokenizer)


def test_the_reading_is_that_of_the_tokenizers_library_on_a_saved_file(
    tokenizer: TokenizerJson, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer.fields))
    text = "and <part-no> and the C++26 book, Straße and  left right  both  alone aloneness"
    [ours] = tokens_of(TokenizerJson.read(tmp_path / "tokenizer.json")).text_encoder.encode([text])
    assert list(ours) == Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids
