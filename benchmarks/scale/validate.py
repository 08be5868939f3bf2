"""One real server under open load, and the simulation of the same arrivals at the rates measured beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scale.measure import (
    CACHE_TOKENS,
    Calibration,
    Sums,
    Workload,
    as_request,
    put_first,
    put_this_first,
)
from benchmarks.scale.simulation import Outcome, Rates, Request, simulate
from benchmarks.serving import Client, open_loop
from qwen3_reranker import Reranker
from testing.live_server import ServerProcess, server_process

#: Each load runs in so many parts with a calibration before and after each: the speed of a shared machine changes.
PARTS = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """One load: what was measured and simulated of it, and the rates of the calibrations around its parts."""

    load: float
    measured: Outcome
    simulated: Outcome
    rates: Rates


@dataclass(frozen=True, slots=True)
class Part:
    """Arrivals that a server answered, and the seconds in which it computed batches."""

    arrivals: list[float]
    latencies: list[float]
    requests: list[Request]
    busy: float


def validate(model: str, loads: Sequence[float], seconds: float, seed: int, *, first: bool) -> list[Compared]:
    """One server, and each load for so many seconds. first: before other programs on this machine."""
    with _warm_server(model, (), seed, each=5, together=20, first=first) as (server, tokens):
        compared = []
        for number, load in enumerate(loads):
            workload = Workload(seed + 1 + number)
            calibration = Calibration(server.port, tokens, seed + 101 + number)
            calibration.measure(each=30, together=200)
            parts = []
            for _ in range(PARTS):
                parts.append(_serve(workload, load * calibration.capacity, seconds / PARTS, server.port, tokens))
                calibration.measure(each=30, together=200)
            simulated = [_simulated(part, calibration.rates(slice(each, each + 2))) for each, part in enumerate(parts)]
            compared.append(Compared(load, _pooled(parts), _pooled(simulated), calibration.rates()))
    return compared


@contextlib.contextmanager
def _warm_server(
    model: str, arguments: Sequence[str], seed: int, *, each: int, together: int, first: bool
) -> Iterator[tuple[ServerProcess, Reranker]]:
    """A server that has answered a round of Calibration.measure, and its tokenizer."""
    if first:
        put_this_first()
    with server_process("--model", model, *arguments) as server, Reranker(model, plan_only=True) as tokens:
        Calibration(server.port, tokens, seed).measure(each=each, together=together)
        if first:
            put_first(server.process.pid)
        yield server, tokens


def _serve(workload: Workload, rate: float, seconds: float, port: int, tokens: Reranker) -> Part:
    arrivals = workload.arrivals(rate, seconds)
    texts = [workload.request() for _ in arrivals]
    requests = [as_request(each, due, tokens) for each, due in zip(texts, arrivals, strict=True)]
    before = Sums.now(port)
    with contextlib.closing(Client(port)) as client:
        latencies = open_loop(client, [each.body for each in texts], arrivals)
    return Part(arrivals, latencies, requests, Sums.now(port).since(before).batch_seconds)


def _simulated(part: Part, rates: Rates) -> Part:
    _, simulation = simulate(part.requests, rates, cache_tokens=CACHE_TOKENS)
    latencies = [request.ended - request.arrived for request in part.requests]
    return Part(part.arrivals, latencies, part.requests, simulation.replicas[0].busy)


def _pooled(parts: Sequence[Part]) -> Outcome:
    seconds = sum(
        max(due + taken for due, taken in zip(each.arrivals, each.latencies, strict=True)) - each.arrivals[0]
        for each in parts
    )
    latencies = [latency for part in parts for latency in part.latencies]
    return Outcome.of(latencies, seconds, sum(part.busy for part in parts))


def table(compared: Sequence[Compared]) -> str:
    """Markdown."""
    lines = ["| load | | p50 | p99 | requests/s | utilisation |", "|---|---|---|---|---|---|"]
    for each in compared:
        for name, outcome in (("measured", each.measured), ("simulated", each.simulated)):
            lines.append(
                f"| {each.load:.0%} | {name} | {outcome.p50 * 1000:.0f} ms | {outcome.p99 * 1000:.0f} ms | "
                f"{outcome.throughput:.1f} | {outcome.utilisation:.0%} |"
            )
        ratios = [
            f"x{getattr(each.simulated, name) / getattr(each.measured, name):.2f}"
            for name in ("p50", "p99", "throughput", "utilisation")
        ]
        lines.append(f"| | simulated / measured | {' | '.join(ratios)} |")
    return "\n".join(lines)


def rates_line(rates: Rates) -> str:
    """The six numbers of a calibration."""
    return (
        f"a batch {rates.batch * 1e3:.2f} ms + {rates.token * 1e6:.1f} us a token; a request {rates.request * 1e3:.2f} "
        f"ms + {rates.request_token * 1e6:.2f} us a token; contention {rates.contention:.2f}, "
        f"slowdown {rates.slowdown:.2f}"
    )


def measured_rates(arguments: Sequence[str], model: str, seed: int, *, first: bool, rounds: int) -> Rates:
    """The rates of a server that is started with these arguments. first: before other programs on this machine."""
    with _warm_server(model, arguments, seed, each=1, together=5, first=first) as (server, tokens):
        calibration = Calibration(server.port, tokens, seed)
        calibration.measure(each=rounds, together=5 * rounds)
        return calibration.rates()
