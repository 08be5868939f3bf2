"""The faster tokenizer gives the tokens of the exact one, or is not used."""

import json
import logging
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qwen3_reranker import fast_tokenizer, prompt
from qwen3_reranker.fast_tokenizer import FastTokenizer, Ids, proven, vouched
from qwen3_reranker.tokens import TokenizerJson, Tokens
from testing.texts import PASSAGES, documents
from testing.tokenizer import NANO_TOKENIZER

CARD = prompt.template("card")


@pytest.fixture(scope="module")
def fields(qwen3_tokenizer: TokenizerJson) -> dict[str, Any]:
    return {**qwen3_tokenizer.fields, "added_tokens": []}


@pytest.fixture(scope="module")
def exact(fields: dict[str, Any]) -> Callable[[Sequence[str]], list[Ids]]:
    return exactly(fields)


@pytest.fixture(scope="module")
def fast(fields: dict[str, Any], exact: Callable[[Sequence[str]], list[Ids]]) -> FastTokenizer:
    pytest.importorskip("gigatoken", reason="the extra fast-tokenizer is not installed")
    found = proven(json.dumps(fields), fields, exact)
    assert found
    return found


def exactly(fields: dict[str, Any]) -> Callable[[Sequence[str]], list[Ids]]:
    tokenizer = Tokenizer.from_str(json.dumps(fields))

    def encode(texts: Sequence[str]) -> list[Ids]:
        encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    return encode


def assert_alike(fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]], texts: Sequence[str]) -> None:
    asked = [text for text in texts if vouched(text)]
    for text, expected in zip(asked, exact(asked), strict=True):
        found = fast.ids(text)
        assert found is not None
        assert found.dtype == np.int32
        assert found.tolist() == expected.tolist(), ascii(text)


@pytest.mark.slow
def test_real_text_in_every_normal_form_is_vouched_for_and_gives_the_same_tokens(
    fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    texts = [*PASSAGES, *documents(5, 200, 400)]
    forms = [unicodedata.normalize(form, text) for text in texts for form in ("NFC", "NFD", "NFKC", "NFKD")]
    assert all(map(vouched, forms))
    assert_alike(fast, exact, forms)


def characters() -> st.SearchStrategy[str]:
    marks = "\u0301\u0323\u0327\u0338\u0345\u3099\u094d\u093c\u0e34\u05b4\u064e\u200d\ufe0f\u20e3"
    spaces = " \t\r\n\u00a0\u3000\u2028\x85\x1c\u200b"
    letters = "aZsSlLſKkéßǅªʰ각\u1100\u1161\u11a8日がﾊカ\U00020000ไअبשΩёა"
    return st.sampled_from(f"{marks}{spaces}{letters}0٣५²½Ⅷ①'’<|>_/.,:;-=({{😀👩🇩☃✅")


@pytest.mark.slow
@given(text=st.lists(st.one_of(characters(), st.text(max_size=3), st.sampled_from(["'s", "'LL", "<|im_end|>"]))))
def test_mixed_text_is_not_vouched_for_or_gives_the_same_tokens(
    fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]], text: list[str]
) -> None:
    assert_alike(fast, exact, ["".join(text)])


@pytest.mark.slow
def test_long_words_of_one_or_two_repeated_characters_give_the_same_tokens(
    fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    for unit in ("a", "ab", "!", " ", "\n", "\r\n", "0", "的", "e\u0301", "\u0301\u0323", "👩\u200d", "'s", "<|"):
        assert_alike(fast, exact, [unit * times for times in (2, 3, 17, 64, 65, 1000, 5000)])


@pytest.mark.slow
def test_every_character_that_is_vouched_for_gives_the_same_tokens_in_every_surrounding(
    fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    every = [each for each in map(chr, range(0x110000)) if vouched(each)]
    assert len(every) > 90_000
    surroundings = ("{0}", " {0}a", "a{0}b1", "'{0}{0}'s", "{0}\u0301{0}", "e\u0323{0}\u0301 ", "1{0}\n{0}  {0}")
    surroundings += ("{0}\u0327\u0345{0}'S", "\u1100{0}\u11a8", "\u1100\u1161{0}", "'{0}e{0}")
    # All surroundings of a character in one text, as a text costs more than its length; a line keeps them apart.
    assert_alike(fast, exact, every)
    assert_alike(fast, exact, ["\nx\n".join(around.format(each) for around in surroundings) for each in every])


@pytest.mark.parametrize(
    "text",
    ["\ue000", "\ud800", "a\U00010f49\u0eca", "'\U00010957\U00010957's", "\u0378", "\U000f0000", "x\U0010ffff"],
    ids=ascii,
)
def test_private_unassigned_and_later_characters_are_not_vouched_for(text: str) -> None:
    assert not vouched(text)


@pytest.mark.slow
def test_where_the_libraries_know_different_unicode_rows_are_those_of_the_exact_tokenizer(
    qwen3_tokens: Tokens, exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    texts = ["plain", "a\U00010f49\u0eca", "", "'\U00010957\U00010957's", "e\u0301", "\u0594\U0001e131\u20d8"] * 2
    rows = qwen3_tokens.encode(*CARD.pieces(None, ["q"] * len(texts), texts))
    for row, expected in zip(rows, exact([f" {text}" for text in texts]), strict=True):
        assert row.ids[row.boundaries[-1] : -len(qwen3_tokens.suffix_ids)].tolist() == expected.tolist()


def test_a_tokenizer_made_anew_goes_on_with_the_same_tokens(
    fast: FastTokenizer, exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    before = fast._encoder._tokenizer
    fast._encoder._characters_left = 3
    assert_alike(fast, exact, PASSAGES)
    assert fast._encoder._tokenizer is not before


def test_models_with_the_same_tokenizer_share_one(
    fast: FastTokenizer, fields: dict[str, Any], exact: Callable[[Sequence[str]], list[Ids]]
) -> None:
    again = proven(json.dumps(fields), fields, exact)
    assert again
    assert again._encoder is fast._encoder


def test_a_tokenizer_that_gives_other_tokens_is_not_used_and_the_log_says_for_which_text(
    fast: FastTokenizer,
    fields: dict[str, Any],
    exact: Callable[[Sequence[str]], list[Ids]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def another(texts: Sequence[str]) -> list[Ids]:
        return [ids + 1 if "\r\n" in text else ids for text, ids in zip(texts, exact(texts), strict=True)]

    with caplog.at_level(logging.INFO):
        assert proven(json.dumps(fields), fields, another) is None
    assert "gigatoken is not used: its tokens of 'a\\r\\nb" in caplog.text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalizer": None}, "the normalizer is not NFC"),
        ({"normalizer": {"type": "NFKC"}}, "the normalizer is not NFC"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}}, "not split as Qwen3"),
        ({"model": {"ignore_merges": True}}, "the model has ignore_merges"),
        ({"model": {"end_of_word_suffix": "</w>", "dropout": 0.1}}, "the model has dropout, end_of_word_suffix"),
        ({"model": {"vocab": {"a": 0}}}, "not 256 bytes and one word a merge"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(fields: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    changed = {**fields, **changes, "model": {**fields["model"], **changes.get("model", {})}}
    assert reason in fast_tokenizer._refusal(changed)


def test_a_vocabulary_whose_merges_are_in_another_order_than_its_words_is_refused_before_anything_is_built(
    fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("gigatoken", reason="the extra fast-tokenizer is not installed")
    merges = list(fields["model"]["merges"])
    merges[7], merges[8] = merges[8], merges[7]
    with caplog.at_level(logging.INFO):
        assert proven("not read", {**fields, "model": {**fields["model"], "merges": merges}}, lambda texts: []) is None
    assert "gigatoken is not used: merge 7 does not make word 263" in caplog.text


def test_merges_written_as_one_string_are_read_too(fields: dict[str, Any]) -> None:
    merges = [" ".join(merge) for merge in fields["model"]["merges"]]
    assert not fast_tokenizer._refusal({**fields, "model": {**fields["model"], "merges": merges}})


def test_a_text_on_which_the_library_fails_is_left_to_the_exact_one_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        def ids(self, text: str) -> Ids:
            raise RuntimeError("index out of bounds")

    assert FastTokenizer(Failing(), lambda texts: []).ids("text") is None  # type: ignore[arg-type]
    assert "gigatoken failed on a text, which tokenizers takes: 'index out of bounds'" in caplog.text


def test_text_that_may_become_control_tokens_is_always_left_to_the_exact_one() -> None:
    tokens = Tokens(
        TokenizerJson.read(NANO_TOKENIZER),
        prefix=CARD.prefix,
        suffix=CARD.suffix,
        max_length=8192,
        special_tokens="parse",
        fast=True,
    )
    assert not isinstance(tokens.text_encoder, FastTokenizer)
