"""More pieces join what the tokenizer left apart; old pieces stay, and vectors come from known ones."""

from typing import Any

import pytest
import torch

from recipes.nano import more_pieces, tokenizer
from recipes.nano.data import Record

TEXTS = [" the Frobnicator frobnicates a frobnicator"] * 40 + [" the other frobnicators"] * 20 + [" once seldomly"]
WORDS = (" frobnicator", " Frobnicator", " frobnicates", " the", " other", " seldomly")


@pytest.fixture(scope="module")
def larger(tokenizer_fields: dict[str, Any]) -> dict[str, Any]:
    return more_pieces.extended(tokenizer_fields, TEXTS, 10_000)


def test_a_frequent_word_becomes_one_piece_and_a_rare_one_stays_cut(
    tokenizer_fields: dict[str, Any], larger: dict[str, Any]
) -> None:
    before, after = tokenizer.literal(tokenizer_fields), tokenizer.literal(larger)
    assert [len(after.encode(word).ids) for word in WORDS[:4]] == [1, 1, 1, 1]
    assert len(before.encode(WORDS[0]).ids) > 1
    assert after.encode(WORDS[5]).ids == before.encode(WORDS[5]).ids
    assert after.decode(after.encode(TEXTS[0]).ids) == TEXTS[0]


def test_old_pieces_keep_their_numbers_and_control_tokens_stand_behind_all(
    tokenizer_fields: dict[str, Any], larger: dict[str, Any]
) -> None:
    old, new = tokenizer_fields["model"]["vocab"], larger["model"]["vocab"]
    assert old.items() <= new.items()
    assert sorted(new.values()) == list(range(len(new)))
    assert [token["id"] for token in larger["added_tokens"]] == list(range(len(new), len(new) + 26))


def test_no_more_pieces_are_made_than_asked_for_and_the_most_frequent_come_first(
    tokenizer_fields: dict[str, Any], larger: dict[str, Any]
) -> None:
    size = len(tokenizer_fields["model"]["vocab"])
    few = more_pieces.extended(tokenizer_fields, TEXTS, size + 3)["model"]
    assert len(few["vocab"]) == size + 3
    assert few["merges"] == larger["model"]["merges"][: len(few["merges"])]


def test_a_new_piece_of_a_known_word_has_its_vector_and_another_the_mean_of_its_pieces(
    tokenizer_fields: dict[str, Any], larger: dict[str, Any]
) -> None:
    old = tokenizer_fields["model"]["vocab"]
    known_VC = torch.randn(len(old) + 26, 8)
    found_VC = more_pieces.vectors(tokenizer_fields, larger, known_VC)
    assert torch.equal(found_VC[: len(old)], known_VC[: len(old)])
    assert torch.equal(found_VC[-26:], known_VC[-26:])
    pieces = tokenizer.literal(tokenizer_fields).encode(WORDS[0]).ids
    [index] = tokenizer.literal(larger).encode(WORDS[0]).ids
    assert torch.allclose(found_VC[index], known_VC[pieces].mean(0))


def test_english_is_read_with_and_without_capitals() -> None:
    records = [
        Record("time sharing", ("on it",), (), "i", "s", "s/en", False),
        Record("Zeit", ("teilen",), (), "i", "s", "s/de", False),
    ]
    assert sorted(more_pieces.text_of(records)) == [" On It", " Time Sharing", " on it", " time sharing"]
