"""A pool scores its documents as BM25 does over the words that their tokens spell."""

from typing import Any

import numpy as np
import pytest

from qwen3_reranker.search import Bm25
from recipes.nano import tokenizer
from recipes.nano.cache import Ragged
from recipes.nano.pool import NO_WORD, Pool


def test_scores_are_those_of_the_search_package() -> None:
    rng = np.random.default_rng(4)
    rows = [rng.integers(1, 40, size=rng.integers(3, 30)) for _ in range(50)]
    pool = Pool(np.arange(50, dtype=np.int32), Ragged.of(rows, np.uint16), np.arange(40, dtype=np.int32))
    index = Bm25([" ".join(f"w{word}" for word in row) for row in rows])
    for _ in range(10):
        query = rng.integers(1, 40, size=6)
        np.testing.assert_allclose(pool.scores(query), index.scores(" ".join(f"w{word}" for word in query)), rtol=1e-5)


def test_a_query_without_a_known_word_scores_zero_everywhere() -> None:
    word_V = np.array([NO_WORD, 0, 1, 2], np.int32)
    pool = Pool(np.array([0, 1], np.int32), Ragged.of([[1, 0], [2, 0, 0]], np.uint16), word_V)
    assert pool.scores(np.array([0, 3])).tolist() == [0.0, 0.0]
    assert pool.scores(np.array([1])).argmax() == 0


def test_tokens_that_spell_one_word_are_one(tokenizer_fields: dict[str, Any]) -> None:
    word_V, vocabulary = tokenizer.words(tokenizer_fields), tokenizer_fields["model"]["vocab"]
    assert word_V[vocabulary["t"]] == word_V[vocabulary["T"]] != NO_WORD
    assert word_V[vocabulary["."]] == NO_WORD
    assert (word_V[len(vocabulary) :] == NO_WORD).all()
    assert len(word_V) == len(vocabulary) + len(tokenizer_fields["added_tokens"])


@pytest.mark.parametrize("members", [[1], [0, 2]])
def test_only_members_are_scored(members: list[int]) -> None:
    documents = Ragged.of([[1, 2], [2, 3], [1, 3]], np.uint16)
    pool = Pool(np.array(members, np.int32), documents, np.arange(4, dtype=np.int32) - 1)
    assert len(pool) == len(pool.scores(np.array([2]))) == len(members)
