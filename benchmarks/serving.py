"""The server against the library: one request's overhead, and many requests' throughput, interleaved.

    python -m benchmarks.serving [--model nano] [--documents 32] [--rounds 15] [--max-batch-tokens N]

Both run the same model in the same process on the same texts, a request of the one after a request of the other, so
that what else the machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from qwen3_reranker import Reranker
from qwen3_reranker.serve.settings import ModelSettings
from testing.live_server import live_server

AT_ONCE = 16
OPEN_LOOP_THREADS = 256
_SENTENCE = "Section {} of the handbook says what a person should do in case {}: call, write it down, and wait."

Ask = Callable[[str], None]


class Client:
    """Asks a server, from any thread, on connections that it keeps until it is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[http.client.HTTPConnection] = []

    def ask(self, query: str, documents: Sequence[str]) -> None:
        """One request and its reply."""
        self.post(body(query, documents))

    def post(self, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """The same with a body that is made already, and headers of its own."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("POST", "/v1/rerank", body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        self._idle.append(connection)
        assert reply.status == 200, answer

    def close(self) -> None:
        """Close the connections, once every request has its reply."""
        for connection in self._idle:
            connection.close()


def body(query: str, documents: Sequence[str]) -> bytes:
    """The JSON of a request."""
    return json.dumps({"query": query, "documents": documents}).encode()


def open_loop(client: Client, bodies: Sequence[bytes], arrivals: Sequence[float]) -> list[float]:
    """Seconds from when each request was due until its reply; none waits for the reply of another to be sent."""
    start = time.perf_counter()

    def timed(number: int) -> float:
        client.post(bodies[number])
        return time.perf_counter() - start - arrivals[number]

    with ThreadPoolExecutor(OPEN_LOOP_THREADS) as threads:
        asked = []
        for number, due in enumerate(arrivals):
            time.sleep(max(0.0, start + due - time.perf_counter()))
            asked.append(threads.submit(timed, number))
        return [each.result() for each in asked]


def seconds(ask: Ask, query: str) -> float:
    start = time.perf_counter()
    ask(query)
    return time.perf_counter() - start


def rate(ask: Ask, name: str, requests: int) -> float:
    """Requests a second with many at once."""
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda number: ask(f"what to do in case {number} of {name}"), range(requests)))
    return requests / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--documents", type=int, default=32)
    parser.add_argument("--requests", type=int, default=100, help="one at a time, of each")
    parser.add_argument("--rounds", type=int, default=15, help="of six requests a thread, of each")
    parser.add_argument("--max-batch-tokens", type=int, help="of the server; its own default if not given")
    chosen = parser.parse_args()
    documents = [_SENTENCE.format(number, number) for number in range(chosen.documents)]
    options = {} if chosen.max_batch_tokens is None else {"max_batch_tokens": chosen.max_batch_tokens}
    models = (ModelSettings(source=chosen.model, options=options),)
    with (
        live_server(models=models, timeout=3600) as live,
        Reranker(chosen.model) as reranker,
        contextlib.closing(Client(live.port)) as client,
    ):

        def served(query: str) -> None:
            client.ask(query, documents)

        def called(query: str) -> None:
            reranker.rank(query, documents)

        for number in range(5):
            served(f"warm up {number}")
            called(f"warm up {number}")
        pairs = [
            (seconds(called, f"what to do in case {number}, called"), seconds(served, f"what to do in case {number}"))
            for number in range(chosen.requests)
        ]
        library, server = (statistics.median(each) * 1000 for each in zip(*pairs, strict=True))
        rates = [
            (rate(called, f"round {number}, called", 6 * AT_ONCE), rate(served, f"round {number}", 6 * AT_ONCE))
            for number in range(chosen.rounds)
        ]
    over = [(b - a) * 1000 for a, b in pairs]
    quarters = statistics.quantiles(over, n=4)
    ratios = [b / a for a, b in rates]
    print(f"{chosen.model}, {chosen.documents} documents a request")
    print("| | library | server | |")
    print("|---|---|---|---|")
    print(
        f"| one at a time, p50 | {library:.1f} ms | {server:.1f} ms | {statistics.median(over):+.1f} ms "
        f"(median of differences; middle half {quarters[0]:+.1f} to {quarters[2]:+.1f}) |"
    )
    print(
        f"| {AT_ONCE} at once | {statistics.median(a for a, _ in rates):.1f} requests/s | "
        f"{statistics.median(b for _, b in rates):.1f} requests/s | x{statistics.median(ratios):.2f} "
        f"(median of {len(ratios)} rounds, {min(ratios):.2f} to {max(ratios):.2f}) |"
    )


if __name__ == "__main__":
    main()
