"""In a cascade one model scores all documents, another the best of them, and the result is the second's."""

from __future__ import annotations

import asyncio

import pytest

from qwen3_reranker import InputError, Ranking, Reranker
from testing.live_server import Live
from testing.texts import documents

QUERY, OTHER = "Are all people born free?", "Which tags are there?"
TEXTS = list(dict.fromkeys(documents(5, 80, 40)))[:60]


def best(reranker: Reranker, query: str, texts: list[str], count: int) -> list[int]:
    return [hit.index for hit in reranker.rank(query, texts, count)]


def same(found: Ranking, exact: list[tuple[int, float, str, object]]) -> bool:
    return [(hit.index, pytest.approx(hit.logit, abs=1e-5), hit.document, hit.receipt) for hit in found] == exact


def expected(small: Reranker, large: Reranker, query: str, texts: list[str], top_k: int, band: int) -> object:
    """What the large model says of the small one's best, as separate calls."""
    places = sorted(best(small, query, texts, band))
    hits = large.rank(query, [texts[place] for place in places], top_k)
    return [(places[hit.index], hit.logit, hit.document, hit.receipt) for hit in hits]


def test_the_best_are_those_of_the_second_model_among_the_best_of_the_first(
    small_reranker: Reranker, nano: Reranker
) -> None:
    shares: list[float] = []
    found = small_reranker.rank(QUERY, TEXTS, 5, then=nano, band=20, on_progress=shares.append)
    assert same(found, expected(small_reranker, nano, QUERY, TEXTS, 5, 20))  # type: ignore[arg-type]
    assert same(found, expected(small_reranker, nano, QUERY, TEXTS, 5, 20))  # type: ignore[arg-type]
    assert best(small_reranker, QUERY, TEXTS, 5) != [hit.index for hit in found] != best(nano, QUERY, TEXTS, 5)
    assert found.cascade is not None
    assert (found.cascade.band, found.cascade.first_judged, found.cascade.then_judged) == (20, 60, 20)
    assert found.screening is None
    first, then = found.cascade.first_usage, found.cascade.then_usage
    assert (first.prompt_tokens, then.prompt_tokens) == (
        small_reranker.rank(QUERY, TEXTS).usage.prompt_tokens,
        nano.rank(QUERY, [TEXTS[place] for place in best(small_reranker, QUERY, TEXTS, 20)]).usage.prompt_tokens,
    )
    assert found.usage.prompt_tokens == first.prompt_tokens + then.prompt_tokens
    assert str(found.cascade) in repr(found)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_every_way_to_rank_goes_through_both_models(small_reranker: Reranker, nano: Reranker) -> None:
    one, two = (expected(small_reranker, nano, query, TEXTS, 4, 12) for query in (QUERY, OTHER))
    many = small_reranker.rank_many([QUERY, OTHER], TEXTS, 4, then=nano)
    assert same(many[0], one)  # type: ignore[arg-type]
    assert same(many[1], two)  # type: ignore[arg-type]
    assert same(asyncio.run(small_reranker.arank(QUERY, TEXTS, 4, then=nano)), one)  # type: ignore[arg-type]


def test_both_models_get_the_instruction(small_reranker: Reranker, nano: Reranker) -> None:
    text = "Find what contradicts the query"
    found = small_reranker.rank(QUERY, TEXTS, 3, text, then=nano, band=10)
    in_band = {hit.index for hit in small_reranker.rank(QUERY, TEXTS, 10, text)}
    alone = [hit for hit in nano.rank(QUERY, TEXTS, instruction=text) if hit.index in in_band][:3]
    assert [(hit.index, pytest.approx(hit.logit, abs=1e-5)) for hit in alone] == [
        (hit.index, hit.logit) for hit in found
    ]


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_list_no_longer_than_the_band_is_for_the_second_model_alone(
    small_reranker: Reranker, nano: Reranker, count: int
) -> None:
    texts = TEXTS[:count]
    for found in (
        small_reranker.rank(QUERY, texts, 3, then=nano),
        small_reranker.rank_many([OTHER, QUERY], [TEXTS, texts], 3, then=nano)[1],
        asyncio.run(small_reranker.arank(QUERY, texts, 3, then=nano)),
    ):
        exact = nano.rank(QUERY, texts, 3)
        assert [hit.index for hit in found] == [hit.index for hit in exact]
        assert found.cascade is not None
        assert (found.cascade.first_judged, found.cascade.then_judged) == (0, count)
        assert found.cascade.first_usage.prompt_tokens == 0


def test_equal_documents_count_once_in_the_band_and_get_the_same_score(
    small_reranker: Reranker, nano: Reranker
) -> None:
    first = TEXTS[best(small_reranker, QUERY, TEXTS, 1)[0]]
    found = small_reranker.rank(QUERY, [first] * 30 + TEXTS, 5, then=nano, band=5)
    plain = small_reranker.rank(QUERY, TEXTS, 5, then=nano, band=5)
    assert found.cascade is not None
    assert found.cascade.then_judged == 35
    assert plain[0].document == found[0].document
    assert {hit.document for hit in small_reranker.rank(QUERY, [first] * 30 + TEXTS, 36, then=nano, band=36)} >= {
        hit.document for hit in plain
    }


def test_the_second_model_may_be_a_server(small_reranker: Reranker, nano: Reranker, live: Live) -> None:
    with Reranker(live.url) as server:
        found = small_reranker.rank(QUERY, TEXTS, 3, then=server, band=10)
        awaited = asyncio.run(small_reranker.arank(QUERY, TEXTS, 3, then=server, band=10))
        turned = server.rank(QUERY, TEXTS, 3, then=small_reranker, band=10)
    here = [hit.index for hit in small_reranker.rank(QUERY, TEXTS, 3, then=nano, band=10)]
    assert [hit.index for hit in found] == [hit.index for hit in awaited] == here
    assert [hit.index for hit in turned] == [
        hit.index for hit in nano.rank(QUERY, TEXTS, 3, then=small_reranker, band=10)
    ]


def test_what_makes_no_cascade_is_said(small_reranker: Reranker, nano: Reranker) -> None:
    for wrong, words in [
        ({"then": nano}, "say how many, as in top_k=10"),
        ({"then": nano, "top_k": 5, "band": 4}, "band must be at least top_k, as the second model finds the best 5, g"),
        ({"then": nano, "top_k": 1, "band": 0}, "band must be a whole number of at least 1, got 0"),
        ({"then": nano, "top_k": 1, "band": 0.5}, "band must be a whole number of at least 1, got 0.5"),
        ({"then": "nano", "top_k": 1}, "then must be the Reranker .*, got 'nano'"),
        ({"band": 9, "top_k": 1}, "then must be the Reranker .*, got None"),
        ({"then": small_reranker, "top_k": 1}, "then must be another model"),
        ({"then": nano, "top_k": 1, "screen": "int8"}, "leave out screen or then"),
    ]:
        with pytest.raises(InputError, match=words):
            small_reranker.rank(QUERY, TEXTS, **wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=words):
            small_reranker.rank_many([QUERY], TEXTS, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"queries\[0\]: not valid Unicode"):
        small_reranker.rank_many(["\ud800"], TEXTS[:4], 2, then=nano)
