"""Ray Serve with one replica beside the plain server; and what the routing of a query to one of two replicas gains.

    python -m benchmarks.ray_serve [--model nano] [--rounds 10] [--requests 40]

Both servers run the same model with one thread. A request to the one comes after a request to the other, and so do the
rounds of many at once, so that what else the machine does falls on both alike. For the routing each query comes four
times, with other documents, and the cache of a replica knows it from the second time on.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testing.live_server import server_process
from testing.ray_serving import ray_server

AT_ONCE = 16
ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
_WORDS = "report case person water train library hour coast light storm engine market".split()  # noqa: SIM905

Ask = Callable[[str, int], float]


def text(words: int) -> str:
    return " ".join(random.choices(_WORDS, k=words))


def client(port: int, headers: Callable[[str], dict[str, str]] = lambda _query: {}) -> Ask:
    """Asks for documents of 60 words and returns the seconds; each thread on a connection that it keeps."""
    own = threading.local()

    def ask(query: str, documents: int) -> float:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", port)
        body = json.dumps({"query": query, "documents": [text(60) for _ in range(documents)]}).encode()
        started = time.perf_counter()
        own.connection.request("POST", "/v1/rerank", body, headers(query))
        reply = own.connection.getresponse()
        answer = reply.read()
        assert reply.status == 200, answer
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
    with server_process(*options) as plain, ray_server(settings, num_replicas=1) as on_ray:
        asks = {"plain": client(plain.port), "ray": client(on_ray.port)}
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
    with ray_server(settings, num_replicas=2, request_router_config=router) as on_ray:
        asks = {
            "any replica": client(on_ray.port),
            "one replica a query": client(
                on_ray.port, lambda query: {"x-session-id": hashlib.sha256(query.encode()).hexdigest()}
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
