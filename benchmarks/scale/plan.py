"""What the simulation says: latencies against load and replicas, sizes of batches, routing, how many machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from benchmarks.scale.measure import CACHE_TOKENS, DOCUMENTS, SHARES
from benchmarks.scale.simulation import ROUTINGS, Rates, Request, simulate

RATES = Path(__file__).with_name("rates.json")
LOADS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
REPLICAS = (1, 2, 4, 8, 16, 64)
BATCHES = (256, 512, 1024, 2048, 4096, 8192)
#: Tokens of the prompt that a query's documents share, as Qwen3-Reranker's template has them: instruction and query.
INSTRUCTION, QUERY, ENDING = 18, 13, 9
#: The largest share of the time that may be spent at a load that is planned for.
PLANNED_LOAD = 0.7

Sizes = Callable[[np.random.Generator], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Named:
    """Rates of one kind of replica, and where they come from: measured, published or computed."""

    name: str
    rates: Rates
    batch_tokens: int
    kind: str
    source: str


def named_rates(path: Path = RATES) -> list[Named]:
    """Those of a file like rates.json."""
    return [
        Named(
            name,
            Rates(**{field.name: entry[field.name] for field in fields(Rates)}),
            entry["batch_tokens"],
            entry["kind"],
            entry["source"],
        )
        for name, entry in json.loads(path.read_text(encoding="utf-8")).items()
    ]


def mixed(random: np.random.Generator) -> Sequence[int]:
    """2 to 32 documents of some 40 tokens, as the validation has them."""
    number = int(random.choice(DOCUMENTS, p=SHARES))
    return [ENDING + int(each) for each in np.clip(random.lognormal(np.log(40), 0.5, number), 4, 200)]


def search(random: np.random.Generator) -> Sequence[int]:
    """50 documents of some 200 tokens."""
    return [ENDING + int(each) for each in np.clip(random.normal(200, 50, 50), 20, 400)]


def arriving(sizes: Sizes, rate: float, count: int) -> list[Request]:
    """So many requests of a Poisson process, each with a query of its own."""
    random = np.random.default_rng(7)
    times = np.cumsum(random.exponential(1 / rate, count))
    return [
        Request.of(float(at), sizes(random), [("instruction", INSTRUCTION), (number, QUERY)], 0)
        for number, at in enumerate(times)
    ]


def capacity(rates: Rates, sizes: Sizes, **options: int) -> float:
    """Requests a second of one replica that always has some waiting."""
    requests = [replace(each, arrived=0.0) for each in arriving(sizes, 1.0, 400)]
    outcome, _ = simulate(requests, rates, **options)
    return outcome.throughput


def latencies(rates: Rates, sizes: Sizes) -> str:
    """p50 and p99 by load and replicas, the least busy replica chosen."""
    most = capacity(rates, sizes)
    lines = [
        f"One replica answers {most:.3g} requests a second. p50 / p99 in ms, by load:\n",
        "| replicas | " + " | ".join(f"{load:.0%}" for load in LOADS) + " |",
        "|---" * (1 + len(LOADS)) + "|",
    ]
    for replicas in REPLICAS:
        cells = []
        for load in LOADS:
            count = max(3000, 150 * replicas)
            outcome, _ = simulate(arriving(sizes, load * most * replicas, count), rates, replicas=replicas)
            cells.append(f"{outcome.p50 * 1000:,.0f} / {outcome.p99 * 1000:,.0f}")
        lines.append(f"| {replicas} | {' | '.join(cells)} |")
    return "\n".join(lines)


def budgets(rates: Rates) -> str:
    """What the tokens of a batch do to small requests, to large ones, and to how many can be answered."""

    def sizes(random: np.random.Generator) -> Sequence[int]:
        return [ENDING + 40] * (200 if random.random() < 0.03 else 5)

    rate = 0.7 * capacity(rates, sizes, batch_tokens=1024)
    lines = [
        "| tokens of a batch | capacity, requests/s | 5 documents, p50 / p99 | 200 documents, p50 / p99 |",
        "|---|---|---|---|",
    ]
    for tokens in BATCHES:
        requests = arriving(sizes, rate, 4000)
        simulate(requests, rates, batch_tokens=tokens)
        cells = []
        for documents in (5, 200):
            taken = [each.ended - each.arrived for each in requests if len(each.added_R) == documents]
            cells.append(" / ".join(f"{each * 1000:,.0f} ms" for each in np.quantile(taken, (0.5, 0.99))))
        most = capacity(rates, sizes, batch_tokens=tokens)
        lines.append(f"| {tokens:,} | {most:.3g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def routings(rates: Rates, replicas: int = 8) -> str:
    """Rules of a balancer, for two kinds of requests whose queries repeat as words do (Zipf, 1.1)."""
    lines = ["| requests | tokens kept | rule | computed | p50 | p99 |", "|---|---|---|---|---|---|"]
    for name, documents, tokens, instruction, tenants in (
        ("50 documents of 200 tokens", 50, 200, INSTRUCTION, 1),
        ("10 of 40 tokens, 50 customers with instructions of 300 tokens", 10, 40, 300, 50),
    ):
        random = np.random.default_rng(5)
        made = [
            Request.of(
                0.0,
                [ENDING + tokens] * documents,
                [((number % tenants, "instruction"), instruction), (int(number), QUERY)],
                int(number % tenants),
            )
            for number in random.zipf(1.1, 3000) % 5000
        ]
        outcome, _ = simulate([replace(each) for each in made[:400]], rates)
        times = np.cumsum(random.exponential(1 / (PLANNED_LOAD * replicas * outcome.throughput), len(made)))
        for kept in (1024, 16384) if tenants > 1 else (1024,):
            for routing in [rule for rule in ROUTINGS if rule != "turns" and (tenants > 1 or rule != "instruction")]:
                requests = [replace(each, arrived=float(at)) for each, at in zip(made, times, strict=True)]
                outcome, simulation = simulate(
                    requests, rates, replicas=replicas, routing=routing, cache_tokens=kept - 1024 + CACHE_TOKENS
                )
                computed = sum(each.computed_tokens for each in simulation.replicas)
                needed = sum(each.tokens for each in requests)
                lines.append(
                    f"| {name} | {kept:,} | {routing} | {computed / needed:.1%} | {outcome.p50 * 1000:,.0f} ms | "
                    f"{outcome.p99 * 1000:,.0f} ms |"
                )
    return "\n".join(lines)


def machines(rate: float, sizes: Sizes, named: Sequence[Named]) -> str:
    """How many replicas answer so many requests a second at the load that is planned for, and how fast."""
    lines = ["| one replica | rates | requests/s of one | replicas | p50 | p99 |", "|---|---|---|---|---|---|"]
    for each in named:
        most = capacity(each.rates, sizes, batch_tokens=each.batch_tokens)
        needed = int(np.ceil(rate / (PLANNED_LOAD * most)))
        # Above some dozens more replicas change nothing at the same load of each.
        replicas = min(needed, 64)
        requests = arriving(sizes, rate * replicas / needed, max(2000, 40 * replicas))
        outcome, _ = simulate(requests, each.rates, replicas=replicas, batch_tokens=each.batch_tokens)
        lines.append(
            f"| {each.name} | {each.kind} | {most:.3g} | {needed:,} | {outcome.p50 * 1000:,.0f} ms | "
            f"{outcome.p99 * 1000:,.0f} ms |"
        )
    return "\n".join(lines)


def recorded(path: Path) -> list[Request]:
    """Requests of a file, a line of JSON each: `{"seconds": 1.5, "documents": [210, 190]}`, tokens of each document.

    "query", if there, is any text or number: requests with the same one have the same query.
    """
    made = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        entry = json.loads(line)
        documents = [ENDING + int(tokens) for tokens in entry["documents"]]
        heads = [("instruction", INSTRUCTION), (("query", entry.get("query", number)), QUERY)]
        made.append(Request.of(float(entry["seconds"]), documents, heads, 0))
    return made


def replayed(requests: Sequence[Request], each: Named, replicas: int, routing: str) -> str:
    """What clients see of recorded requests."""
    outcome, _ = simulate(requests, each.rates, replicas=replicas, routing=routing, batch_tokens=each.batch_tokens)
    return (
        f"{len(requests):,} requests, {replicas} replicas of {each.name}: p50 {outcome.p50 * 1000:,.0f} ms, "
        f"p99 {outcome.p99 * 1000:,.0f} ms, {outcome.throughput:.3g} requests/s, {outcome.utilisation:.0%} busy"
    )


def show(named: Sequence[Named], searches: float) -> None:
    """Print all tables: for the first rates, and the machines for all."""
    first = named[0]
    for title, made in (
        (f"{first.name}: replicas and load", lambda: latencies(first.rates, mixed)),
        (f"{first.name}: tokens of a batch, 3 % of requests with 200 documents", lambda: budgets(first.rates)),
        (f"{first.name}: routing, 8 replicas at {PLANNED_LOAD:.0%} of their load", lambda: routings(first.rates)),
        (
            f"{searches:,.0f} searches a second of 50 documents of 200 tokens, replicas at {PLANNED_LOAD:.0%}",
            lambda: machines(searches, search, named),
        ),
    ):
        print(f"## {title}\n\n{made()}\n", flush=True)
