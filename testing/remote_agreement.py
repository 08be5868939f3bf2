"""How far the scores of a real server are from those of the model here, also through a network that fails."""

from __future__ import annotations

import asyncio

import numpy as np

from qwen3_reranker import Ranking, Reranker
from qwen3_reranker.endpoints.probes import CLEAR_DOCUMENTS, CLEAR_QUERIES, long_document
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from testing.faulty_proxy import FAULTS, faulty_proxy

QUERIES = CLEAR_QUERIES
DOCUMENTS = (*CLEAR_DOCUMENTS, long_document(20), "", "日本で一番高い山は富士山です。")
NUM_CALLS = 200


def differences(remote: RemoteReranker, model: Reranker, instruction: str | None = None) -> tuple[float, float]:
    """The largest difference of a logit and of a probability, over the pairs of QUERIES and DOCUMENTS."""
    found = [remote.score(query, DOCUMENTS, instruction) for query in QUERIES]
    right = [model.score(query, DOCUMENTS, instruction) for query in QUERIES]
    logits = [np.max(np.abs(a.logits - b.logits)) for a, b in zip(found, right, strict=True)]
    probabilities = [np.max(np.abs(a.probabilities - b.probabilities)) for a, b in zip(found, right, strict=True)]
    return float(max(logits)), float(max(probabilities))


def rank_through_a_faulty_network(url: str, model: Reranker, nearest: float) -> str:
    """200 calls at once, of which the network fails 30 % of the requests; what happened, in words.

    nearest: the most that a logit may be from the model's. Fails unless each call has each document once.
    """
    queries = [f"{QUERIES[number % len(QUERIES)]} {number}" for number in range(NUM_CALLS)]
    lists = [[f"{text} {number % 7}" for text in CLEAR_DOCUMENTS] for number in range(NUM_CALLS)]
    expected = model.rank_many(queries, lists)
    # A hanging request never ends, so these give up after a while.
    options = {"check": "off", "max_documents": 3, "retries": 30, "timeout": 20.0, "concurrency": 8}
    with faulty_proxy(url, 0.3) as proxy, Reranker(proxy.url, **options) as remote:  # type: ignore[arg-type]

        async def all_at_once() -> list[Ranking]:
            return await asyncio.gather(*(remote.arank(*each) for each in zip(queries, lists, strict=True)))

        found = asyncio.run(all_at_once())
    for ranking, right in zip(found, expected, strict=True):
        logits = {hit.index: hit.logit for hit in ranking}
        assert len(ranking) == len(logits) == len(right)
        assert max(abs(logits[hit.index] - hit.logit) for hit in right) < nearest
    assert all(proxy.counts[fault] for fault in FAULTS), proxy.counts
    failed = sum(proxy.counts[fault] for fault in FAULTS)
    return f"{NUM_CALLS} calls, {proxy.counts['passed']} requests answered, {failed} failed, none lost, none double"
