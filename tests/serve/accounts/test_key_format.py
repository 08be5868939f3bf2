"""A key's form: what is made parses, what was mistyped does not, and no bytes are too strange to be told so."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.serve.accounts.key_format import digest, generate, parse, random_id
from qwen3_reranker.serve.problems import Problem

KEY = generate().encode()


def refused(presented: bytes) -> bool:
    with pytest.raises(Problem) as caught:
        parse(presented)
    problem = caught.value
    assert (problem.status, problem.code, problem.headers) == (401, "invalid_api_key", {"www-authenticate": "Bearer"})
    assert len(presented) < 12 or presented.decode("latin-1") not in problem.message
    return True


def test_a_key_has_a_prefix_and_49_digits_and_parses() -> None:
    keys = {generate() for _ in range(1000)}
    assert len(keys) == 1000
    assert {len(key) for key in keys} == {len("qr_live_") + 43 + 6}
    assert all(key.startswith("qr_live_") and key[8:].isalnum() and key.isascii() for key in keys)
    assert all(parse(key.encode()) == key.encode() for key in keys)


def test_every_change_of_one_character_is_noticed() -> None:
    for place in range(len(KEY)):
        for letter in range(256):
            if letter != KEY[place]:
                assert refused(KEY[:place] + bytes([letter]) + KEY[place + 1 :])


def test_characters_that_changed_places_or_are_missing_are_noticed() -> None:
    for place in range(len(KEY) - 1):
        swapped = KEY[:place] + KEY[place + 1 : place + 2] + KEY[place : place + 1] + KEY[place + 2 :]
        assert swapped == KEY or refused(swapped)
        assert refused(KEY[:place] + KEY[place + 1 :])
        assert refused(KEY[:place] + KEY[place : place + 1] + KEY[place:])


@given(st.binary(max_size=80))
def test_any_other_bytes_are_the_same_problem(presented: bytes) -> None:
    assert refused(presented)
    assert refused(b"qr_live_" + presented)


def test_what_is_stored_is_an_hmac_under_the_pepper_or_a_plain_hash() -> None:
    assert digest(KEY, b"pepper") == hmac.new(b"pepper", KEY, "sha256").hexdigest()
    assert digest(KEY, None) == hashlib.sha256(KEY).hexdigest()


def test_ids_say_what_they_name() -> None:
    assert random_id("key").startswith("key_")
    assert len({random_id("key") for _ in range(1000)}) == 1000
