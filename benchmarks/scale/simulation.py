"""Replicas of the server in simulated time. Their batches are those of the product: it is its own FairQueue that waits.

A request passes three stations: the front of a replica (HTTP, JSON, tokens; one thread), its queue, and its batches. A
test holds the order and the sizes of batches to the Scheduler's own.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.records import Row
from qwen3_reranker.serve.scheduler.fair_queue import FairQueue, ScheduledRow

#: By chance, in turns, to the fewest requests inside, by the query, by what its beginning shares with other queries.
ROUTINGS = ("random", "turns", "least", "query", "instruction")


@dataclass(frozen=True, slots=True)
class Rates:
    """What one replica takes, in seconds; a token is one that is computed.

    contention: seconds by which a second of the front's work delays the batch beside it, as both need the processors.
    slowdown: how much longer that work takes beside a batch.
    """

    batch: float
    token: float
    request: float = 0.0
    request_token: float = 0.0
    contention: float = 0.0
    slowdown: float = 1.0

    def front(self, request: Request) -> float:
        """Of the front, for one request that is alone."""
        return self.request + self.request_token * request.tokens


@dataclass(eq=False, slots=True)
class Request:
    """Rows of one query and when they arrive, in seconds. What FairQueue reads is named as in ScheduledRequest.

    heads: of the query, each beginning that the prefix cache keeps, by what names it, and its tokens.
    """

    arrived: float
    added_R: NDArray[np.int64]
    alone_R: NDArray[np.int64]
    heads: Sequence[tuple[Hashable, int]] = ()
    tenant: int = 0
    order: Sequence[int] = ()
    tokens: int = 0
    started: float = 0.0
    ended: float = 0.0
    num_left: int = 0

    def __post_init__(self) -> None:
        self.order = range(len(self.added_R))
        self.num_left = len(self.added_R)
        self.tokens = int(self.added_R.sum())

    @classmethod
    def of(
        cls, arrived: float, documents: Sequence[int], heads: Sequence[tuple[Hashable, int]], tenant: int
    ) -> Request:
        """A request whose documents have so many tokens, the prompt's end counted with each, and share no beginning."""
        head = sum(tokens for _, tokens in heads)
        added_R = np.array(documents, dtype=np.int64)
        alone_R = added_R + head
        added_R[0] += head
        return cls(arrived, added_R, alone_R, heads, tenant)

    @classmethod
    def of_rows(cls, arrived: float, rows: Sequence[Row], added_R: NDArray[np.int64], order: Sequence[int]) -> Request:
        """The request of real rows; `added_R` and `order` are its ScheduledRequest's."""
        first, public = rows[0], rows[0].num_public_tokens
        bounds = first.boundaries
        heads = [((first.cache_salt, first.ids[:end].tobytes()), end - start) for start, end in pairwise(bounds)]
        alone_R = np.array([len(rows[index].ids) - public for index in order], dtype=np.int64)
        return cls(arrived, added_R, alone_R, heads, first.cache_salt)

    def tokens_alone(self, number: int) -> int:
        """Tokens of a row in a batch without its neighbours."""
        return int(self.alone_R[number])


@dataclass(slots=True)
class PrefixCacheModel:
    """Which beginnings of queries a replica knows: the least recently used goes, as in the engine's cache."""

    max_tokens: int
    held: int = 0
    entries: OrderedDict[Hashable, int] = field(default_factory=OrderedDict)

    def computed(self, batch: Sequence[ScheduledRow]) -> int:
        """Tokens of a batch that go through the network; its beginnings are known from then on."""
        requests: list[Any] = list({id(row.request): row.request for row in batch}.values())
        heads = {key: tokens for request in requests for key, tokens in request.heads}
        tokens = sum(row.tokens for row in batch) - sum(tokens for each in requests for _, tokens in each.heads)
        tokens += sum(length for key, length in heads.items() if key not in self.entries)
        for request in requests:
            # A query's instruction is used whenever the query is, so it is the later one to go.
            for key, length in reversed(request.heads):
                self.held += length if key not in self.entries else 0
                self.entries[key] = length
                self.entries.move_to_end(key)
        while self.held > self.max_tokens:
            self.held -= self.entries.popitem(last=False)[1]
        return tokens


class Replica:
    """One server: the rule of `Scheduler._work`, with events in place of a thread."""

    def __init__(self, rates: Rates, batch_tokens: int, cache_tokens: int) -> None:
        self.rates = rates
        self.batch_tokens = batch_tokens
        self.cache = PrefixCacheModel(cache_tokens)
        self.short, self.long = FairQueue(), FairQueue()
        self.front: deque[Request] = deque()
        self.front_ends = 0.0
        self.in_flight = 0
        self.busy = 0.0
        self.batches: list[list[ScheduledRow]] = []
        self.computed_tokens = self.scheduled_tokens = 0
        self.ends = 0.0
        self.parts: deque[tuple[list[ScheduledRow], int, bool]] = deque()
        self.long_row: tuple[ScheduledRow, int] | None = None

    def submit(self, request: Any) -> None:
        """Queue the rows of a request; those longer than a batch run in steps."""
        fits = [request.tokens_alone(number) <= self.batch_tokens for number in range(len(request.order))]
        self.short.add(request, [number for number, is_short in enumerate(fits) if is_short])
        self.long.add(request, [number for number, is_short in enumerate(fits) if not is_short])

    def next_parts(self) -> None:
        """A batch of short rows, and one step of a long row: what runs before the queue is looked at again."""
        if self.short and (batch := self.short.pop_batch(self.batch_tokens)):
            self.parts.append((batch, self.cache.computed(batch), True))
        if self.long_row is None and self.long:
            [row] = self.long.pop_batch(self.batch_tokens, 1)
            self.long_row = row, row.tokens
        if self.long_row is not None:
            row, left = self.long_row
            step = min(left, self.batch_tokens)
            self.long_row = (row, left - step) if left > step else None
            self.parts.append(([row], step, self.long_row is None))


class Simulation:
    """Replicas, and a rule that says which of them gets a request."""

    def __init__(
        self,
        rates: Rates,
        *,
        replicas: int = 1,
        routing: str = "least",
        batch_tokens: int = 1024,
        cache_tokens: int = 1024,
        seed: int = 0,
    ) -> None:
        self.replicas = [Replica(rates, batch_tokens, cache_tokens) for _ in range(replicas)]
        self._routing, self._random, self._turn = routing, random.Random(seed), 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self.now = 0.0

    def run(self, requests: Sequence[Request]) -> None:
        """Serve them all; each then has its times."""
        for request in requests:
            self._at(request.arrived, self._arrive, request)
        while self._events:
            self.now, _, function, arguments = heapq.heappop(self._events)
            function(*arguments)

    def _at(self, seconds: float, function: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (seconds, next(self._order), function, arguments))

    def _chosen(self, request: Request) -> Replica:
        if self._routing == "random":
            return self._random.choice(self.replicas)
        if self._routing == "turns":
            self._turn += 1
            return self.replicas[self._turn % len(self.replicas)]
        if self._routing in ("query", "instruction"):
            key, _ = request.heads[-1 if self._routing == "query" else 0]
            return self.replicas[zlib.crc32(repr(key).encode()) % len(self.replicas)]
        fewest = min(replica.in_flight for replica in self.replicas)
        return self._random.choice([replica for replica in self.replicas if replica.in_flight == fewest])

    def _arrive(self, request: Request) -> None:
        replica = self._chosen(request)
        replica.in_flight += 1
        replica.front.append(request)
        if len(replica.front) == 1:
            self._begin_front(replica)

    def _begin_front(self, replica: Replica) -> None:
        seconds = replica.rates.front(replica.front[0])
        if replica.parts:
            replica.ends += replica.rates.contention * seconds
            seconds *= replica.rates.slowdown
        replica.front_ends = self.now + seconds
        self._at(replica.front_ends, self._end_front, replica)

    def _end_front(self, replica: Replica) -> None:
        replica.submit(replica.front.popleft())
        if replica.front:
            self._begin_front(replica)
        if not replica.parts:
            self._begin_parts(replica)

    def _begin_parts(self, replica: Replica) -> None:
        replica.next_parts()
        if replica.parts:
            self._begin_part(replica)

    def _begin_part(self, replica: Replica) -> None:
        batch, tokens, _ = replica.parts[0]
        replica.batches.append(batch)
        replica.computed_tokens += tokens
        replica.scheduled_tokens += sum(row.tokens for row in batch)
        for row in batch:
            row.request.started = row.request.started or self.now
        delay = replica.rates.contention * max(0.0, replica.front_ends - self.now)
        seconds = replica.rates.batch + replica.rates.token * tokens + delay
        replica.ends = self.now + seconds
        replica.busy -= self.now
        self._at(replica.ends, self._end_part, replica)

    def _end_part(self, replica: Replica) -> None:
        if self.now < replica.ends:
            # The front has worked meanwhile, and the batch needs so much longer.
            self._at(replica.ends, self._end_part, replica)
            return
        replica.busy += self.now
        batch, _, is_last_step = replica.parts.popleft()
        for row in batch if is_last_step else ():
            row.request.num_left -= 1
            if not row.request.num_left:
                row.request.ended = self.now
                replica.in_flight -= 1
        if replica.parts:
            self._begin_part(replica)
        else:
            self._begin_parts(replica)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients and operators see, in seconds. utilisation: the share of time in which models computed."""

    p50: float
    p99: float
    throughput: float
    utilisation: float

    @classmethod
    def of(cls, latencies: Sequence[float], seconds: float, busy: float) -> Outcome:
        """Of the latencies of all requests in `seconds`; busy: the mean seconds of a replica's batches."""
        p50, p99 = np.quantile(latencies, (0.5, 0.99))
        return cls(float(p50), float(p99), len(latencies) / seconds, busy / seconds)


def simulate(requests: Sequence[Request], rates: Rates, **options: Any) -> tuple[Outcome, Simulation]:
    """Serve requests, whose times are written into them. options: those of Simulation."""
    simulation = Simulation(rates, **options)
    simulation.run(requests)
    latencies = [request.ended - request.arrived for request in requests]
    seconds = max(request.ended for request in requests) - min(request.arrived for request in requests)
    busy = sum(replica.busy for replica in simulation.replicas) / len(simulation.replicas)
    return Outcome.of(latencies, seconds, busy), simulation
