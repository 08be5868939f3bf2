"""Every hit is accounted for once, no budget of tokens is exceeded, and what is chosen keeps its score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qwen3_reranker import Hit, InputError, Receipt, Reranker, Selection, select

ALIKE = ["undo the last commit with reset", "Undo the last commit, with reset", "boil rice", "take a commit back"]


def hits_of(texts: list[str], probabilities: list[float] | None = None) -> list[Hit]:
    """Hits of texts, best first, whose tokens are their words. Indexes go down, so that they are not places."""
    given = probabilities or [1 / (place + 2) for place in range(len(texts))]
    counts = [len(text.split()) for text in texts]
    return [
        Hit(100 - place, -float(place), given[place], text, Receipt(count, count, 2, 2), text)
        for place, (text, count) in enumerate(zip(texts, counts, strict=True))
    ]


LISTS = st.lists(st.text("ab 東京", min_size=0, max_size=20), max_size=10).map(hits_of)
OPTIONS = st.fixed_dictionaries(
    {
        "fold": st.sampled_from([None, 0.3, 0.8, 1.0]),
        "diversity": st.sampled_from([None, 0, 0.3, 1.0]),
        "fit": st.sampled_from([None, 1, 4, 100, 10**30]),
    }
)


def selected(hits: list[Hit], top_k: int | None, options: dict[str, float | None]) -> Selection:
    if options["diversity"] is not None and options["fit"] is None:
        top_k = top_k or 3
    return select(hits, top_k, count_tokens=lambda text: len(text.split()), **options)  # type: ignore[arg-type]


@given(LISTS, st.sampled_from([None, 1, 3]), OPTIONS)
def test_every_hit_is_chosen_a_duplicate_too_long_or_left_out_and_no_budget_is_exceeded(
    hits: list[Hit], top_k: int | None, options: dict[str, float | None]
) -> None:
    found = selected(hits, top_k, options)
    kept = [*found, *found.too_long, *found.left_out]
    accounted = [hit.index for hit in kept] + [index for hit in kept for index in hit.duplicates]
    assert sorted(accounted) == sorted(hit.index for hit in hits)
    tokens = sum(len(hit.document.split()) for hit in found)
    assert options["fit"] is None or found.tokens == tokens <= options["fit"]
    assert top_k is None or len(found) <= top_k
    for rank, hit in zip(found.ranks, found, strict=True):
        assert (hit.index, hit.logit, hit.receipt) == (
            hits[rank - 1].index,
            hits[rank - 1].logit,
            hits[rank - 1].receipt,
        )
    if options["diversity"] is None:
        assert list(found.ranks) == sorted(found.ranks)


@given(LISTS, st.sampled_from([None, 1, 3]), OPTIONS)
def test_selecting_the_selected_again_changes_nothing(
    hits: list[Hit], top_k: int | None, options: dict[str, float | None]
) -> None:
    found = selected(hits, top_k, options)
    assert selected(list(found.hits), top_k, {**options, "diversity": None}).hits == found.hits


@given(LISTS, st.sampled_from([0.3, 0.8]), st.sampled_from([None, 4]))
def test_what_is_left_out_without_diversity_would_not_have_fitted_at_its_turn(
    hits: list[Hit], fold: float, fit: int | None
) -> None:
    found = selected(hits, None, {"fold": fold, "diversity": None, "fit": fit})
    for hit in found.left_out:
        better = sum(len(each.document.split()) for each in found if each.logit > hit.logit)
        assert fit is not None
        assert better + len(hit.document.split()) > fit


def test_a_near_duplicate_is_reported_by_its_index_at_the_better_hit() -> None:
    found = select(hits_of(ALIKE), fold=0.7)
    assert [(hit.index, hit.duplicates) for hit in found] == [(100, (99,)), (98, ()), (97, ())]
    assert found.ranks == (1, 3, 4)
    assert found[0].to_dict()["duplicates"] == [99]
    assert found.to_dict() == {"fold": 0.7, "folded": 1, "too_long": [], "left_out": []}


def test_duplicates_of_a_hit_that_is_folded_later_go_with_it() -> None:
    texts = ["abcdefghijklmnop", "abcdefghijklmnoq", "abcdefghijklmxyz"]
    once = select([hits_of(texts)[0], *select(hits_of(texts)[1:], fold=0.5)], fold=0.5)
    assert [(hit.index, set(hit.duplicates)) for hit in once] == [(100, {99, 98})]


def test_diversity_takes_a_less_likely_hit_that_says_something_else() -> None:
    hits = hits_of(ALIKE, [0.9, 0.89, 0.3, 0.85])
    assert [hit.index for hit in select(hits, 3, diversity=0)] == [100, 99, 97]
    assert [hit.index for hit in select(hits, 3, diversity=0.4)] == [100, 97, 99]
    assert [hit.index for hit in select(hits, 3, diversity=1)] == [100, 98, 97]


def test_vectors_of_an_embedder_say_what_is_alike_where_it_is_given() -> None:
    vectors = {ALIKE[0]: (1, 0), ALIKE[1]: (0, 3), ALIKE[2]: (-1, 0.1), ALIKE[3]: (2, 0.1)}

    def embed(texts: list[str]) -> NDArray[np.float32]:
        return np.array([vectors[text] for text in texts], np.float32)

    hits = hits_of(ALIKE, [0.9] * 4)
    assert [hit.index for hit in select(hits, 4, diversity=0.5, embed=embed)] == [100, 99, 98, 97]
    with pytest.raises(InputError, match="a vector for each of 4 texts"):
        select(hits, 2, diversity=0.5, embed=lambda texts: np.zeros(3))


def test_a_hit_that_does_not_fit_is_passed_over_and_one_longer_than_the_budget_is_said() -> None:
    found = select(hits_of(["one two three four", "one two", "one two three", "one"]), fit=3)
    assert [hit.document for hit in found] == ["one two", "one"]
    assert [hit.document for hit in found.too_long] == ["one two three four"]
    assert [hit.document for hit in found.left_out] == ["one two three"]
    assert found.tokens == 3


def test_diversity_chooses_only_among_what_still_fits() -> None:
    hits = hits_of(["aaa aaa aaa", "aaa aaa bbb", "xxx yyy zzz www", "xxx"], [0.9, 0.8, 0.7, 0.6])
    assert [hit.index for hit in select(hits, diversity=0.5, fit=6)] == [100, 97]
    assert [hit.index for hit in select(hits, diversity=0.5, fit=7)] == [100, 98]


def test_the_models_own_tokens_are_counted_without_a_function(nano: Reranker) -> None:
    ranking = nano.rank("undo", ALIKE)
    found = select(ranking, fit=20)
    assert found.tokens == sum(hit.receipt.document_tokens for hit in found)
    counted = select(ranking, fit=20, count_tokens=nano.count_tokens)
    assert counted.tokens == sum(nano.count_tokens(hit.document) for hit in counted) <= 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fold": 0}, "fold must be above 0"),
        ({"fold": 1.1}, "fold must be at most 1"),
        ({"fold": "0.8"}, "fold must be a number"),
        ({"fold": True}, "fold must be a number"),
        ({"diversity": float("nan"), "top_k": 2}, "diversity must be at least 0"),
        ({"diversity": 0.3}, "say how many with top_k"),
        ({"fit": 0}, "fit must be at least 1"),
        ({"fit": 2.5}, "fit must be a whole number"),
        ({"top_k": 0}, "top_k must be a whole number"),
        ({"fit": 9, "count_tokens": lambda text: 1.5}, "count_tokens must give a whole number"),
    ],
)
def test_an_unusable_option_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        select(hits_of(ALIKE), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("receipt", [Receipt(0, 0, 0, 0), Receipt(9, 9, 2, 2, is_lower_bound=True)])
def test_tokens_that_are_not_known_are_asked_for_and_never_guessed(receipt: Receipt) -> None:
    with pytest.raises(InputError, match=r"those of documents\[7\] are not known: .* give count_tokens"):
        select([Hit(7, 1.0, 0.7, "text", receipt)], fit=100)


def test_an_empty_ranking_gives_an_empty_selection() -> None:
    found = select([], 3, fold=0.8, diversity=0.3, fit=100)
    assert (len(found), found.tokens, found.num_folded) == (0, 0, 0)
    assert repr(found) == "<Selection of 0 hits of 0 tokens; 0 folded, 0 too long, 0 left out>"


def test_many_copies_of_one_text_are_folded_in_the_order_of_the_ranking() -> None:
    hits = hits_of(["the same text"] * 30_000)
    [kept] = select(hits, fold=0.8)
    assert kept.duplicates == tuple(hit.index for hit in hits[1:])
