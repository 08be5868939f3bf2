"""A server at a URL ranks as the model behind it does; what it cannot do is said, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from qwen3_reranker import InputError, Ranking, Reranker, select
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.integrations.named_model import NamedModel
from qwen3_reranker.remote import remote_reranker
from qwen3_reranker.remote.pair_scoring import UnscoredError
from qwen3_reranker.remote.remote_reranker import RemoteModelError, RemoteReranker
from testing.faulty_proxy import FAULTS, faulty_proxy
from testing.live_server import Live, live_server
from testing.patience import PATIENCE_SECONDS

QUERY = "Which planet is red?"
DOCUMENTS = ["Mars is the red planet.", "Venus is hot.", "", "Ein Ei kocht acht Minuten.", "Jupiter has a red spot."]
COOKING = "Answer yes only if the document is a cooking recipe"


@pytest.fixture(scope="module")
def remote(live: Live) -> Iterator[RemoteReranker]:
    """The server, used as a reranker. Small requests, so that lists are split."""
    with opened(live.url, max_documents=2) as reranker:
        yield reranker


def opened(url: str, **options: object) -> RemoteReranker:
    reranker = Reranker(url, timeout=PATIENCE_SECONDS, **{"check": "off", **options})  # type: ignore[arg-type]
    assert isinstance(reranker, RemoteReranker)
    return reranker


@pytest.mark.parametrize(
    "dialect",
    ["auto", "cohere", "jina", "voyage", "vllm", "sglang", "llama.cpp", "tei", "vllm-score", "qwen3-reranker"],
)
def test_a_server_gives_the_scores_of_its_model_in_every_dialect(live: Live, nano: Reranker, dialect: str) -> None:
    expected = nano.score(QUERY, DOCUMENTS)
    with opened(live.url, dialect=dialect) as remote:
        found = remote.score(QUERY, DOCUMENTS)
        # Voyage and SGLang send probabilities alone.
        assert remote.gives_logits == (dialect not in ("voyage", "sglang"))
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-3)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)


def test_the_surface_is_that_of_a_model_here(remote: RemoteReranker, nano: Reranker) -> None:
    ranking, expected = remote.rank(QUERY, DOCUMENTS, 3), nano.rank(QUERY, DOCUMENTS, 3)
    assert [(hit.index, hit.document, hit.item) for hit in ranking] == [
        (hit.index, hit.document, hit.item) for hit in expected
    ]
    assert not any(hit.saturated for hit in ranking)
    assert ranking.usage.prompt_tokens == expected.usage.prompt_tokens
    lists = [DOCUMENTS, DOCUMENTS[:2]]
    for found, right in zip(
        remote.rank_many([QUERY, "eggs?"], lists), nano.rank_many([QUERY, "eggs?"], lists), strict=True
    ):
        assert [hit.index for hit in found] == [hit.index for hit in right]
    pairs = [(QUERY, DOCUMENTS[0]), ("eggs?", DOCUMENTS[3]), (QUERY, DOCUMENTS[1])]
    np.testing.assert_allclose(remote.logits(pairs), nano.logits(pairs), atol=1e-3)
    np.testing.assert_allclose(remote.probabilities(pairs), nano.probabilities(pairs), atol=1e-4)
    assert remote.rank(QUERY, []).hits == ()
    assert remote.logits([]).shape == (0,)
    awaited = asyncio.run(remote.arank(QUERY, DOCUMENTS, 3))
    assert awaited.hits == ranking.hits


def test_a_set_for_a_prompt_is_chosen_from_a_servers_ranking_and_tokens_are_the_callers(
    remote: RemoteReranker, nano: Reranker
) -> None:
    ranking, expected = remote.rank(QUERY, DOCUMENTS), nano.rank(QUERY, DOCUMENTS)
    found = select(ranking, fold=0.8, fit=20, count_tokens=nano.count_tokens)
    assert [hit.index for hit in found] == [
        hit.index for hit in select(expected, fold=0.8, fit=20, count_tokens=nano.count_tokens)
    ]
    with pytest.raises(InputError, match="the server does not say them, or in Python give count_tokens"):
        select(ranking, fit=20)


def test_an_instruction_reaches_the_model(remote: RemoteReranker, nano: Reranker) -> None:
    found = remote.score(QUERY, DOCUMENTS, COOKING).logits
    np.testing.assert_allclose(found, nano.score(QUERY, DOCUMENTS, COOKING).logits, atol=1e-3)


def test_an_instruction_that_the_server_would_drop_is_refused(live: Live) -> None:
    with opened(live.url, dialect="voyage") as remote, pytest.raises(InputError, match="takes no instruction"):
        remote.rank(QUERY, DOCUMENTS, instruction=COOKING)


def test_progress_reaches_the_end_once_all_is_scored(remote: RemoteReranker) -> None:
    shares: list[float] = []
    remote.score(QUERY, DOCUMENTS, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_what_needs_the_model_here_is_refused_in_one_sentence(remote: RemoteReranker, live: Live) -> None:
    for call in (remote.rows, remote.judge, remote.tree):
        with pytest.raises(RemoteModelError, match="is a server"):
            call([QUERY], [""])
    with pytest.raises(RemoteModelError, match="tokens needs the model on this machine"):
        _ = remote.tokens
    with pytest.raises(RemoteModelError, match=f"screen needs the model on this machine; {live.url} is a server"):
        remote.rank(QUERY, DOCUMENTS, 1, screen="int8")
    for options in ({"precision": "int8"}, {"plan_only": True}, {"revision": "main"}):
        with pytest.raises(InputError, match=f"{next(iter(options))} is an option of a model on this machine"):
            Reranker(live.url, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"document.*lone surrogate|documents\[1\]"):
        remote.rank(QUERY, ["", "\ud800"])


def test_a_copy_connects_again_and_no_repr_shows_the_key(live: Live) -> None:
    with opened(live.url, api_key="secret-key") as remote:
        assert "secret-key" not in f"{remote!r}{remote.server_options!r}"
        with copy.copy(remote) as other, pickle.loads(pickle.dumps(remote)) as third:
            assert other.score(QUERY, DOCUMENTS).logits.tolist() == third.score(QUERY, DOCUMENTS).logits.tolist()
    with pytest.raises(InputError, match="closed"):
        remote.rank(QUERY, DOCUMENTS)


def test_components_of_a_framework_share_the_server_that_they_name(live: Live) -> None:
    first, second = NamedModel(Reranker, live.url, {}), NamedModel(Reranker, live.url, {})
    with first.open() as opened_once:
        assert second.open() is opened_once
        assert opened_once.rank(QUERY, DOCUMENTS)[0].index == 0
        assert NamedModel(Reranker, opened_once, {}).open() is opened_once
    assert NamedModel(Reranker, live.url, {"check": "off", "dialect": "voyage"}).open().facts.wire.name == "voyage"
    with pytest.raises(InputError, match="precision is an option of a model on this machine"):
        NamedModel(Reranker, live.url, {"precision": "int8"})


def test_a_server_without_the_template_is_named_once_it_connects(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    with live_server(models=[{"source": "nano", "options": {"prompt": "pair"}}]) as bare:
        with caplog.at_level(logging.WARNING), opened(bare.url, check="warn"):
            pass
        assert [record.getMessage().partition(": ")[2].partition(":")[0] for record in caplog.records] == [
            "no-template"
        ]
        with pytest.raises(EndpointError, match="no-template"):
            opened(bare.url, check="error")
    caplog.clear()
    with opened(live.url, check="error"):
        assert not caplog.records


def test_the_first_requests_are_few_and_sent_once_in_a_process(live: Live) -> None:
    remote_reranker._KNOWN.clear()
    with opened(live.url, check="warn") as first, opened(live.url, check="warn") as second:
        assert first._connection.num_requests <= 7
        assert second._connection.num_requests == 0


def test_a_list_beyond_the_servers_limits_is_split_and_a_document_that_it_refuses_is_named(nano: Reranker) -> None:
    long = "Mars " * 5000
    with live_server(max_documents=6, max_body_bytes=16_000) as small, opened(small.url) as remote:
        found = remote.score(QUERY, DOCUMENTS * 5)
        np.testing.assert_allclose(found.logits, nano.score(QUERY, DOCUMENTS * 5).logits, atol=1e-3)
        with pytest.raises(UnscoredError, match=r"document 7 was not scored: .*413") as caught:
            remote.score(QUERY, [*DOCUMENTS, *DOCUMENTS[:2], long])
    assert caught.value.places == ((0, 7),)


def test_an_address_where_no_reranker_answers_is_refused(live: Live) -> None:
    with pytest.raises(EndpointError, match="nothing here answers"):
        opened(f"{live.url}/nowhere")
    with pytest.raises(EndpointError, match="is the server running there"):
        opened("http://127.0.0.1:9")


@pytest.mark.slow
def test_200_concurrent_calls_through_a_faulty_network_lose_and_double_nothing(live: Live, nano: Reranker) -> None:
    queries = [f"{QUERY} {number}" for number in range(200)]
    lists = [[f"{text} {number % 7}" for text in DOCUMENTS] for number in range(200)]
    expected = nano.rank_many(queries, lists)
    # A hanging request never ends, so these give up after a few seconds.
    options = {"check": "off", "max_documents": 3, "retries": 30, "timeout": 6.0, "concurrency": 16}
    with faulty_proxy(live.url, 0.3) as proxy, Reranker(proxy.url, **options) as remote:  # type: ignore[arg-type]

        async def all_at_once() -> list[Ranking]:
            return await asyncio.gather(*(remote.arank(*each) for each in zip(queries, lists, strict=True)))

        found = asyncio.run(all_at_once())
    for ranking, right in zip(found, expected, strict=True):
        assert [(hit.index, hit.document) for hit in ranking] == [(hit.index, hit.document) for hit in right]
        np.testing.assert_allclose([hit.logit for hit in ranking], [hit.logit for hit in right], atol=1e-3)
    assert all(proxy.counts[fault] for fault in FAULTS), proxy.counts
    assert proxy.counts["passed"] >= 400
