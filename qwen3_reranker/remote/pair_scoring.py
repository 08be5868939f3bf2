"""Lists of texts -> requests of a bounded size -> the score of each text, once each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qwen3_reranker.endpoints.endpoint_errors import EndpointError, RefusedError
from qwen3_reranker.endpoints.score_transforms import Numbers
from qwen3_reranker.endpoints.server_options import ServerOptions
from qwen3_reranker.endpoints.wire_formats import ReportedUsage
from qwen3_reranker.remote.server_facts import ScoreClient, ServerFacts

# Statuses that may be of the list as a whole, its length or one of its texts: its halves are asked for apart.
_DIVISIBLE = (400, 413, 422)
# Quotes and the comma around a text in JSON.
_BETWEEN = 4


class UnscoredError(EndpointError):
    """A request failed for good. places: what it held, as (number of the list, number of the document)."""

    def __init__(self, message: str, places: Sequence[tuple[int, int]]) -> None:
        super().__init__(message)
        self.places = tuple(places)


@dataclass(frozen=True, slots=True)
class _Request:
    """The documents of one request, and where each stands: (number of the list, number of the document)."""

    query: str
    documents: Sequence[str]
    places: Sequence[tuple[int, int]]

    def halves(self) -> tuple[_Request, _Request]:
        half = len(self.documents) // 2
        return (
            _Request(self.query, self.documents[:half], self.places[:half]),
            _Request(self.query, self.documents[half:], self.places[half:]),
        )


class PairScoring:
    """One call: the scores of all documents of its lists, and what the server says of each list.

    extra: further fields of each request. deadline: of the call, by time.monotonic().
    """

    def __init__(
        self,
        server: ScoreClient,
        facts: ServerFacts,
        options: ServerOptions,
        lists: Sequence[tuple[str, Sequence[str]]],
        extra: Mapping[str, Any],
        deadline: float,
        on_progress: Callable[[float], None] | None,
    ) -> None:
        self._server, self._facts, self._lists, self._extra, self._deadline = server, facts, lists, extra, deadline
        self._most = options.max_documents or facts.wire.most_documents
        self._most_bytes, self._workers = options.max_bytes, options.concurrency
        self._on_progress = on_progress
        self._total, self._done = sum(len(texts) for _, texts in lists), 0
        self.scores = [np.full(len(texts), np.nan) for _, texts in lists]
        self.usages: list[list[ReportedUsage]] = [[] for _ in lists]

    async def run(self) -> Sequence[Numbers]:
        """The scores of each list, in input order. Raises UnscoredError; nothing is under way afterwards."""
        parts = self._parts()

        async def work() -> None:
            # One iterator for all: each part is taken once.
            for part in parts:
                await self._score(part)

        workers = [asyncio.create_task(work()) for _ in range(self._workers)]
        try:
            await asyncio.gather(*workers)
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        assert not any(np.isnan(scores_N).any() for scores_N in self.scores)
        return self.scores

    def _parts(self) -> Iterator[_Request]:
        """The requests. Lists of one query are asked for together."""
        by_query: dict[str, list[tuple[int, int]]] = {}
        for number, (query, texts) in enumerate(self._lists):
            by_query.setdefault(query, []).extend((number, place) for place in range(len(texts)))
        for query, places in by_query.items():
            start = size = 0
            texts = [self._lists[number][1][place] for number, place in places]
            for end, text in enumerate(texts):
                num_bytes = len(text.encode()) + _BETWEEN
                if end > start and (end - start >= self._most or size + num_bytes > self._most_bytes):
                    yield _Request(query, texts[start:end], places[start:end])
                    start, size = end, 0
                size += num_bytes
            if texts:
                yield _Request(query, texts[start:], places[start:])

    async def _score(self, part: _Request) -> None:
        facts = self._facts
        try:
            reply = await self._server.ask(
                facts.wire, facts.path, part.query, part.documents, self._extra, self._deadline
            )
        except EndpointError as error:
            if len(part.documents) > 1 and isinstance(error, RefusedError) and error.status in _DIVISIBLE:
                if error.status == 413:
                    self._most = min(self._most, (len(part.documents) + 1) // 2)
                for half in part.halves():
                    await self._score(half)
                return
            raise UnscoredError(f"{self._named(part.places)} not scored: {error}", part.places) from None
        self.usages[part.places[0][0]].append(reply.usage)
        for (number, place), score in zip(part.places, reply.scores_N.tolist(), strict=True):
            self.scores[number][place] = score
        self._done += len(part.documents)
        if self._on_progress:
            self._on_progress(self._done / self._total)

    def _named(self, places: Sequence[tuple[int, int]]) -> str:
        (first, start), (_, end) = places[0], places[-1]
        of_query = f" of query {first}" if len(self._lists) > 1 else ""
        if len(places) == 1:
            return f"document {start}{of_query} was"
        return f"documents {start} to {end}{of_query} were"
