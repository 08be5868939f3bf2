"""Groups hold one positive and negatives that are none, with BM25's scores; chunks depend on seed and number alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recipes.nano import tokenizer
from recipes.nano.cache import Cache
from recipes.nano.groups import SHORT, Groups, Mix, batches

WHOLE = Mix(cuts=((512, 1.0),), best_window=0.0, unanswered=0.0)


@pytest.fixture(scope="module")
def groups(cache: Cache, tokenizer_fields: dict[str, Any]) -> Groups:
    return Groups(cache, tokenizer.words(tokenizer_fields), tokenizer.label(tokenizer_fields), WHOLE, 1)


@pytest.mark.slow
def test_a_positive_is_never_among_its_own_negatives(cache: Cache, groups: Groups) -> None:
    rng = np.random.default_rng(2)
    for row in range(len(cache)):
        group = groups.group(row, rng, 512)
        positives = {cache.documents[place].tobytes() for place in cache.positives[row]}
        assert group.documents[0].tobytes() in positives
        assert positives.isdisjoint(document.tobytes() for document in group.documents[1:])


@pytest.mark.slow
def test_a_group_has_as_many_documents_as_asked_for_and_its_hard_negatives_first(cache: Cache, groups: Groups) -> None:
    rng = np.random.default_rng(2)
    for row in range(len(cache)):
        group = groups.group(row, rng, 512)
        labelled = {cache.documents[place].tobytes() for place in cache.negatives[row]}
        count = WHOLE.short_documents if len(cache.documents[cache.positives[row][0]]) <= SHORT else WHOLE.documents
        assert len(group.documents) == len(group.lexical_D) == count
        hard = min(int(WHOLE.hard * count), len(labelled))
        assert labelled.issuperset(document.tobytes() for document in group.documents[1 : 1 + hard])


def test_held_out_records_are_not_trained_on(cache: Cache, groups: Groups) -> None:
    held_out = {cache.queries[cache.query[row]].tobytes() for row in np.flatnonzero(cache.held_out)}
    assert held_out
    for number in range(3):
        for group in groups.chunk(number, 0.2):
            assert not any(group.head.tobytes().endswith(query) for query in held_out)


def test_a_chunk_is_the_same_at_every_call_and_no_two_are_alike(groups: Groups) -> None:
    heads = [[group.head.tobytes() for group in groups.chunk(number, 0.5)] for number in (3, 3, 4)]
    assert heads[0] == heads[1] != heads[2]


def test_batches_hold_every_group_once_within_the_token_budget(groups: Groups) -> None:
    chunk = groups.chunk(1, 0.5)
    cut = batches(chunk, 2000)
    assert sorted(id(group) for batch in cut for group in batch) == sorted(map(id, chunk))
    for batch in cut:
        longest, counts = max(group.longest for group in batch), {len(group.documents) for group in batch}
        assert len(counts) == 1
        assert len(batch) == 1 or len(batch) * longest * counts.pop() <= 2000


def test_no_answer_of_the_same_query_in_another_record_is_a_negative(cache: Cache, groups: Groups) -> None:
    twice = [row for row in range(len(cache)) if len(groups.answers[cache.query[row]]) > len(cache.positives[row])]
    assert twice
    for row in twice:
        answers = {cache.documents[place].tobytes() for place in groups.answers[cache.query[row]]}
        for _ in range(3):
            group = groups.group(row, np.random.default_rng(3), 512)
            assert answers.isdisjoint(document.tobytes() for document in group.documents[1:])


def test_negatives_from_bm25_match_the_query_better_than_any_documents(cache: Cache, groups: Groups) -> None:
    only = replace(WHOLE, hard=0.0, depth=8, smallest_corpus=100)
    means = []
    for ranked in (1.0, 0.0):
        drawn = groups.with_mix(replace(only, ranked=ranked))
        rng = np.random.default_rng(2)
        means.append(np.mean([drawn.group(row, rng, 512).lexical_D[1:].mean() for row in range(0, 100, 5)]))
    assert means[0] > 1.2 * means[1]


def test_the_part_kept_of_a_long_document_shares_the_query_s_words(groups: Groups) -> None:
    document = np.arange(300, dtype=np.uint16)
    part = groups.cut(np.array([250, 251], np.uint16), document, 20, 20)
    assert len(part) == 20
    assert {250, 251} <= set(part.tolist())


def test_a_group_without_its_positive_has_bm25_s_best_of_the_others_first(cache: Cache, groups: Groups) -> None:
    drawn = groups.with_mix(replace(WHOLE, unanswered=1.0))
    rng = np.random.default_rng(2)
    for row in np.flatnonzero(cache.synthetic)[:20].tolist():
        group = drawn.group(row, rng, 512)
        answers = {cache.documents[place].tobytes() for place in groups.answers[cache.query[row]]}
        assert group.unanswered
        assert answers.isdisjoint(document.tobytes() for document in group.documents)
        assert group.lexical_D[0] == group.lexical_D.max() > group.lexical_D.min()
    labelled = int(np.flatnonzero(~cache.synthetic)[0])
    assert not drawn.group(labelled, rng, 512).unanswered
