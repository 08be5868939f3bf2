"""Rates of a real server process, from outside: its replies, and its own metrics of batches."""

from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.scale.simulation import Rates, Request, Simulation
from benchmarks.serving import Client, body
from qwen3_reranker import Reranker
from qwen3_reranker.serve.scheduler import ScheduledRequest

WORDS = ("free", "equal", "dignity", "rights", "reason", "spirit", "born", "human", "beings", "act", "another")
DOCUMENTS = (2, 4, 8, 16, 32)
SHARES = (0.2, 0.2, 0.3, 0.2, 0.1)
# Documents of the requests that are sent alone, and those that are sent together.
SIZES, AT_ONCE = (1, 4, 8, 16, 24), 3
#: Tokens that the engine's cache keeps by default, without the beginning of the prompt, which is in it for good.
CACHE_TOKENS = 1024 - 38
_PRIORITY, _COMPUTING_TICKS = 10, 20
_SUMS = ("batch_seconds_count", "batch_seconds_sum", "batch_tokens_sum", "queue_wait_seconds_sum")
_SUMS += ("inference_seconds_sum",)


@dataclass(frozen=True, slots=True)
class Texts:
    """One request as its client has it."""

    query: str
    documents: list[str]

    @property
    def body(self) -> bytes:
        """As it is sent."""
        return body(self.query, self.documents)


class Workload:
    """Requests of one seed: few with many documents, documents of log-normal lengths, no query twice."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def request(self, documents: int | None = None) -> Texts:
        """The next one."""
        number = int(self._random.choice(DOCUMENTS, p=SHARES)) if documents is None else documents
        lengths = np.clip(self._random.lognormal(np.log(25), 0.5, number), 3, 120).astype(int)
        query = " ".join(self._random.choice(WORDS, 6)) + f" in case {self._random.integers(10**6)}"
        return Texts(query, [" ".join(self._random.choice(WORDS, length)) for length in lengths])

    def arrivals(self, rate: float, seconds: float) -> list[float]:
        """Of a Poisson process."""
        gaps = self._random.exponential(1 / rate, int(2 * rate * seconds) + 100)
        times = np.cumsum(gaps)
        return [float(each) for each in times[times < seconds]]


@dataclass(frozen=True, slots=True)
class Sums:
    """What a server had counted at one moment; differences are what it did in between."""

    batches: float
    batch_seconds: float
    tokens: float
    queueing: float
    computing: float

    @classmethod
    def now(cls, port: int) -> Sums:
        """Of the first model."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
            text = reply.read().decode()
        found = [re.search(rf"^rerank_{name}{{.*}} (\S+)$", text, re.MULTILINE) for name in _SUMS]
        # A sum has no line before its first event.
        return cls(*(float(each[1]) if each else 0.0 for each in found))

    def since(self, before: Sums) -> Sums:
        """The difference."""
        return Sums(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))


@dataclass(slots=True)
class Segment:
    """One stretch of the calibration: what the server counted, and the latencies and tokens of the requests."""

    sums: Sums
    latencies: list[float]
    requests: list[Request]
    seconds: float

    @property
    def computed_tokens(self) -> float:
        """Of all its batches. The server counts what it schedules, and the prefix cache knows a part of that."""
        requests = [replace(each, arrived=float(number)) for number, each in enumerate(self.requests)]
        simulation = Simulation(Rates(0.0, 0.0), cache_tokens=CACHE_TOKENS)
        simulation.run(requests)
        [replica] = simulation.replicas
        return self.sums.tokens * replica.computed_tokens / replica.scheduled_tokens


class Calibration:
    """Rates of a server, from requests one at a time and then a few at once. More rounds make them steadier."""

    def __init__(self, port: int, tokens: Reranker, seed: int) -> None:
        self._port, self._tokens = port, tokens
        self._workload = Workload(seed)
        self._alone: list[list[Segment]] = []
        self._together: list[Segment] = []

    def measure(self, *, each: int, together: int) -> None:
        """A round: so many requests of each size alone, and so many of the mixed workload a few at once."""
        self._alone.append([self._segment([self._workload.request(size) for _ in range(each)], 1) for size in SIZES])
        self._together.append(self._segment([self._workload.request() for _ in range(together)], AT_ONCE))

    def _segment(self, texts: Sequence[Texts], at_once: int) -> Segment:
        bodies = [each.body for each in texts]
        requests = [as_request(each, 0.0, self._tokens) for each in texts]

        def timed(sent: bytes) -> float:
            start = time.perf_counter()
            client.post(sent)
            return time.perf_counter() - start

        with contextlib.closing(Client(self._port)) as client, ThreadPoolExecutor(at_once) as threads:
            before, start = Sums.now(self._port), time.perf_counter()
            latencies = list(threads.map(timed, bodies))
            seconds = time.perf_counter() - start
            return Segment(Sums.now(self._port).since(before), latencies, requests, seconds)

    @property
    def capacity(self) -> float:
        """Requests of the mixed workload a second, when some always wait."""
        return sum(len(each.requests) for each in self._together) / sum(each.seconds for each in self._together)

    def rates(self, rounds: slice = slice(None)) -> Rates:
        """Least squares over the segments in which requests were alone; the rest from those in which they were not."""
        alone = [segment for each in self._alone[rounds] for segment in each]
        together = self._together[rounds]
        batch, token = _fitted(
            [(each.sums.batches, each.computed_tokens) for each in alone], [each.sums.batch_seconds for each in alone]
        )
        request, request_token = _fitted(
            [(len(each.requests), sum(one.tokens for one in each.requests)) for each in alone],
            [sum(each.latencies) - each.sums.batch_seconds for each in alone],
        )
        rates = Rates(batch, token, request, request_token)
        front = sum(rates.front(one) for each in together for one in each.requests)
        stretched = sum(
            each.sums.batch_seconds - batch * each.sums.batches - token * each.computed_tokens for each in together
        )
        outside = sum(sum(each.latencies) - each.sums.queueing - each.sums.computing for each in together)
        return replace(rates, contention=max(0.0, stretched / front), slowdown=max(1.0, outside / front))


def put_first(server: int) -> None:
    """Run a server before other programs, and its short work before its batches, as an idle machine would.

    This process and those that it starts have real-time priority already. Needs Linux and root.
    """
    for thread in Path(f"/proc/{server}/task").iterdir():
        ticks = sum(map(int, (thread / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        if int(thread.name) != server and ticks > _COMPUTING_TICKS:
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(_PRIORITY - 1))


def put_this_first() -> None:
    """The same for this process."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))


def _fitted(counts: Sequence[tuple[float, float]], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds of each of two kinds of count, neither below 0. Segments count alike, however long they are."""
    weighted = np.array(counts) / np.array(seconds)[:, None]
    one, other = np.linalg.lstsq(weighted, np.ones(len(weighted)), rcond=None)[0]
    if one < 0:
        return 0.0, float(np.linalg.lstsq(weighted[:, 1:], np.ones(len(weighted)), rcond=None)[0][0])
    return float(one), max(0.0, float(other))


def as_request(texts: Texts, arrived: float, tokens: Reranker) -> Request:
    """The request as the scheduler has it, by the model's own tokenizer."""
    rows = tokens.rows([texts.query] * len(texts.documents), texts.documents)
    scheduled = ScheduledRequest(rows, deadline=float("inf"), on_end=lambda: None)
    return Request.of_rows(arrived, rows, scheduled.added_R, scheduled.order)
