"""One end of a long text has the tokens that it has in the whole text, wherever the text is cut."""

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qwen3_reranker import Reranker, prompt
from qwen3_reranker.added_tokens import TokenSpans
from qwen3_reranker.errors import NotUnicodeError, QueryTooLongError, TooLongError
from qwen3_reranker.partial_encoding import SLICE_CHARACTERS, PartialEncoder, WordPieces
from qwen3_reranker.records import Limits
from qwen3_reranker.tokens import TokenizerJson, Tokens

CARD = prompt.template("card")
# So small that a short text has many cuts; with `LONGEST` bytes of a token they are cut in words as well.
SIZE, LONGEST = 48, 12
RUNS = [
    *("a", "ab", "the", "Z", "é", "e\u0301", "\u0301", "\u0338\u0327", "ǆ", "ſ", "的", "一是不", "ひらがな"),
    *("각", "\u1100\u1161\u11a8"),
    *(" ", "  ", "\t", "\n", "\r\n", " \n", "\u3000", "\u2000", "\u00a0", "\x1c", "\x85"),
    *("5", "123", "٣", "½", "!", "!\n", "...", "'", "'s", "'re", "-", "、", "。", "😀", "👩‍👩‍👧", "<w>", "a 5"),
    "<|im_end|>",
]  # fmt: skip


FOUND = [
    {"content": "<w>", "single_word": True, "lstrip": True, "rstrip": True, "normalized": False},
    {"content": "a 5", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True},
    {"content": "<|im_end|>", "single_word": False, "lstrip": False, "rstrip": True, "normalized": False},
]


def texts() -> st.SearchStrategy[str]:
    run = st.tuples(st.sampled_from(RUNS), st.integers(1, 90)).map(lambda each: each[0] * each[1])
    return st.lists(st.one_of(run, st.sampled_from(RUNS), st.text(max_size=5)), max_size=14).map("".join)


def encoder(whole: Tokenizer, longest: int | None = None, **options: object) -> PartialEncoder:
    def encode(some: object) -> list[np.ndarray]:
        return [np.array(each.ids, dtype=np.int32) for each in whole.encode_batch_fast(some, add_special_tokens=False)]

    @cache
    def merge(word: str) -> tuple[list[int], list[int]]:
        tokens = whole.model.tokenize(word)
        return [token.id for token in tokens], [len(token.value) for token in tokens]

    pieces = None
    if longest:
        pieces = WordPieces(whole.normalizer.normalize_str, whole.pre_tokenizer.pre_tokenize_str, merge, longest)
    return PartialEncoder(encode, pieces, slice_characters=SIZE, **options)  # type: ignore[arg-type]


def assert_exact(partial: PartialEncoder, whole: Tokenizer, text: str, least: int) -> None:
    expected = whole.encode(text, add_special_tokens=False).ids
    first, last = partial.first(text, least), partial.last(text, least)
    for found, part in ((first, expected[: len(first.ids)]), (last, expected[len(expected) - len(last.ids) :])):
        assert found.ids.tolist() == part
        assert len(found.ids) == len(expected) if found.is_whole else len(found.ids) >= least


@pytest.fixture(scope="module")
def fields(qwen3_tokenizer: TokenizerJson) -> dict[str, object]:
    return qwen3_tokenizer.fields


@pytest.fixture(scope="module")
def short_words(fields: dict[str, object]) -> Tokenizer:
    """Qwen's tokenizer with its first tokens of up to 12 bytes, so that short texts show what long ones do."""
    model = dict(fields["model"])  # type: ignore[call-overload]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"][:6000]]
    model["merges"] = [" ".join(merge) for merge in merges if len("".join(merge)) <= LONGEST]
    made = {merge.replace(" ", "") for merge in model["merges"]}
    model["vocab"] = {word: number for word, number in model["vocab"].items() if number < 256 or word in made}
    return Tokenizer.from_str(json.dumps({**fields, "model": model, "added_tokens": [], "post_processor": None}))


@given(text=texts(), least=st.integers(1, 60))
def test_one_end_of_a_text_has_the_tokens_of_the_whole_text(short_words: Tokenizer, text: str, least: int) -> None:
    assert_exact(encoder(short_words, LONGEST), short_words, text, least)


@pytest.fixture(scope="module")
def with_words(short_words: Tokenizer) -> Tokenizer:
    listed = [{**word, "id": 200_000 + number, "special": False} for number, word in enumerate(FOUND)]
    return Tokenizer.from_str(json.dumps({**json.loads(short_words.to_str()), "added_tokens": listed}))


@given(text=texts(), least=st.integers(1, 60))
def test_the_same_holds_where_tokens_are_found_in_texts(with_words: Tokenizer, text: str, least: int) -> None:
    assert_exact(encoder(with_words, spans=TokenSpans(FOUND)), with_words, text, least)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_a_long_run_of_anything_is_cut_exactly(qwen3_tokens: Tokens, run: str) -> None:
    text = f"Once upon {run * (150_000 // len(run))} a time"
    expected = qwen3_tokens.text_encoder.encode([text])[0]
    partial = qwen3_tokens._partial
    assert partial is not None
    first, last = partial.first(text, 500), partial.last(text, 500)
    assert np.array_equal(first.ids, expected[: len(first.ids)])
    assert np.array_equal(last.ids, expected[len(expected) - len(last.ids) :])
    assert len(first.ids) < 0.8 * len(expected)


def test_a_long_document_is_read_only_as_far_as_it_is_kept(qwen3_tokens: Tokens) -> None:
    long = "word " * 200_000
    for keep in ("start", "end"):
        rows = qwen3_tokens.encode(*CARD.pieces(None, ["q"] * 2, [long, "short"]), Limits(keep=keep))
        assert [row.receipt.is_lower_bound for row in rows] == [True, False]
        cut = rows[0].receipt
        assert cut.truncated
        assert cut.kept_tokens < cut.document_tokens < 20_000


def test_what_is_forbidden_or_cannot_be_done_is_said_without_reading_all(qwen3_tokens: Tokens) -> None:
    long = "word " * 200_000
    with pytest.raises(TooLongError):
        qwen3_tokens.encode(*CARD.pieces(None, ["q"], [long]), Limits(truncate=False))
    with pytest.raises(QueryTooLongError, match="take at least 1"):
        qwen3_tokens.encode(*CARD.pieces(None, [long], ["d"]))
    with pytest.raises(NotUnicodeError):
        qwen3_tokens.encode(*CARD.pieces(None, ["q"], [f"{long}\ud800"]))


def test_a_document_of_one_slice_is_counted_to_its_end(small_reranker: Reranker) -> None:
    [row] = small_reranker.rows(["q"], ["a " * (SLICE_CHARACTERS // 2 - 2)])
    assert row.receipt.truncated
    assert not row.receipt.is_lower_bound
