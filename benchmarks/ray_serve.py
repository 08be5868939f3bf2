"""Ray Serve with one replica beside the plain server; and what the routing of a query to one of two replicas gains.

    python -m benchmarks.ray_serve [--model nano] [--rounds 10] [--requests 40]

Both servers run the same model with one thread. A request to the one comes after a request to the other, and so do the
rounds of many at once, so that what else the machine does falls on both alike. For the routing each query comes four
times, with other documents, and the cache of a replica knows it from the second time on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from benchmarks.serving import Client, body
from testing.live_server import server_process
from testing.ray_serving import ray_server

AT_ONCE = 16
ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
_WORDS = "report case person water train library hour coast light storm engine market".split()  # noqa: SIM905

Ask = Callable[[str, int], float]


def text(words: int) -> str:
    return " ".join(random.choices(_WORDS, k=words))


def asking(client: Client, headers: Callable[[str], dict[str, str]] = lambda _query: {}) -> Ask:
    """Asks for documents of 60 words and returns the seconds."""

    def ask(query: str, documents: int) -> float:
        sent = body(query, [text(60) for _ in range(documents)])
        started = time.perf_counter()
        client.post(sent, headers(query))
        return time.perf_counter() - started

    return ask


def rate(ask: Ask, documents: int, requests: int) -> float:
    """Requests a second with many at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda number: ask(f"{text(12)} {number}", documents), range(requests)))
    return requests / (time.perf_counter() - started)


def overhead(model: str, rounds: int, requests: int) -> None:
    options = ("--model", model, "--threads", "1", "--log-level", "warning")
    settings: dict[str, Any] = {"models": [{"source": model}], "log_level": "warning"}
    with (
        server_process(*options) as plain,
        ray_server(settings, num_replicas=1) as on_ray,
        closing(Client(plain.port)) as to_plain,
        closing(Client(on_ray.port)) as to_ray,
    ):
        asks = {"plain": asking(to_plain), "ray": asking(to_ray)}
        print("| documents | server | p50 | p99 | requests/s, 16 at once |")
        print("|---|---|---|---|---|")
        for documents in (1, 10, 40):
            for ask in asks.values():
                rate(ask, documents, AT_ONCE)
            seconds: dict[str, list[float]] = {name: [] for name in asks}
            rates: dict[str, list[float]] = {name: [] for name in asks}
            for _ in range(rounds):
                for _ in range(requests):
                    for name, ask in asks.items():
                        seconds[name].append(ask(text(12), documents))
                for name, ask in asks.items():
                    rates[name].append(rate(ask, documents, 4 * AT_ONCE))
            for name in asks:
                p50, p99 = (statistics.quantiles(seconds[name], n=100)[each - 1] * 1000 for each in (50, 99))
                print(f"| {documents} | {name} | {p50:.1f} ms | {p99:.1f} ms | {statistics.median(rates[name]):.0f} |")


def routing(model: str, requests: int) -> None:
    settings: dict[str, Any] = {"models": [{"source": model}], "log_level": "warning"}
    router = {"request_router_class": ROUTER}
    with (
        ray_server(settings, num_replicas=2, request_router_config=router) as on_ray,
        closing(Client(on_ray.port)) as client,
    ):
        asks = {
            "any replica": asking(client),
            "one replica a query": asking(
                client, lambda query: {"x-session-id": hashlib.sha256(query.encode()).hexdigest()}
            ),
        }
        print("| query | documents | routing | mean |")
        print("|---|---|---|---|")
        for words, documents in ((12, 1), (12, 10), (200, 1), (200, 10)):
            seconds: dict[str, list[float]] = {name: [] for name in asks}
            for _ in range(requests):
                for name, ask in asks.items():
                    query = text(words)
                    seconds[name] += [ask(query, documents) for _ in range(4)]
            for name in asks:
                print(f"| {words} words | {documents} | {name} | {statistics.fmean(seconds[name]) * 1000:.1f} ms |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=40, help="one at a time, of each, in a round")
    chosen = parser.parse_args()
    random.seed(0)
    overhead(chosen.model, chosen.rounds, chosen.requests)
    print()
    routing(chosen.model, 5 * chosen.requests)


if __name__ == "__main__":
    main()
