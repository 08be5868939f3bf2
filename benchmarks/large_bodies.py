"""What large requests of one key do to tiny ones of another, to health checks and to memory.

    python -m benchmarks.large_bodies          # a minute

A server of nano with keys and `--timeout 10`, in a process of its own. Each row is one kind of body, two of it at once.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import numpy as np

from qwen3_reranker.serve.accounts.store import Store
from testing.live_server import ServerProcess, server_process

_LIMIT = 16 << 20
_PATIENCE = 60.0


def bodies() -> Iterator[tuple[str, bytes]]:
    """Names and bodies."""
    for megabytes in (4, 15):
        words = "word " * (megabytes * 200_000)
        yield f"a document of {megabytes} MB", json.dumps({"query": "q", "documents": [words]}).encode()
    yield "a query of 10 MB", json.dumps({"query": "word " * 2_000_000, "documents": ["a"]}).encode()
    yield "16 MB of empty records", b'{"documents":[' + b"{}," * (5 << 20) + b"{}]}"
    yield "16 MB of half characters", b'{"query":"q","documents":["' + b"\\ud800" * 2_700_000 + b'"]}'
    fields = {f"field{number}": number for number in range(200_000)}
    yield "200,000 unknown fields", json.dumps({"query": "q", "documents": ["a"], **fields}).encode()
    record = {f"field{number}": "x" for number in range(40)}
    echoed = {"query": "q", "documents": [record] * 1000, "return_documents": True, "max_tokens_per_doc": 10}
    yield "1,000 records of 40 fields, echoed", json.dumps(echoed).encode()


@contextmanager
def repeated(call: Callable[[httpx2.Client], httpx2.Response], pause: float) -> Iterator[list[float]]:
    """Call again and again beside what is done within, on one connection; the milliseconds of each call."""
    milliseconds: list[float] = []
    is_over = threading.Event()

    def repeat() -> None:
        with httpx2.Client(timeout=_PATIENCE) as client:
            while not is_over.wait(pause):
                begun = time.perf_counter()
                reply = call(client)
                assert reply.status_code == 200, reply.text
                milliseconds.append(1000 * (time.perf_counter() - begun))

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield milliseconds
    finally:
        is_over.set()
        thread.join()


def measure(server: ServerProcess, name: str, body: bytes, large: str, tiny: str) -> None:
    """Print a row."""
    url = f"{server.url}/v1/rerank"

    def send(_number: int) -> tuple[int, float]:
        begun = time.perf_counter()
        reply = httpx2.post(url, content=body, headers={"x-api-key": large}, timeout=_PATIENCE)
        return reply.status_code, time.perf_counter() - begun

    def ask(client: httpx2.Client) -> httpx2.Response:
        return client.post(url, json={"query": "q", "documents": ["a"]}, headers={"x-api-key": tiny})

    with (
        repeated(ask, 0.05) as asked,
        repeated(lambda client: client.get(f"{server.url}/health/live"), 0.01) as checked,
        ThreadPoolExecutor(2) as two,
    ):
        time.sleep(1)
        sent = list(two.map(send, range(2)))
        time.sleep(1)
    statuses = ", ".join(f"{status} in {seconds:.1f} s" for status, seconds in sent)
    p99 = np.percentile(checked, 99)
    print(f"| {name} | {statuses} | {max(asked):.0f} ms | {p99:.0f} ms | {peak_mib(server):.0f} MiB |", flush=True)


def peak_mib(server: ServerProcess) -> float:
    """The most memory that a server had so far."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    print("| two of | answered | tiny request, longest | health check, p99 | peak memory |\n|---|---|---|---|---|")
    for name, body in bodies():
        # A server of its own each, as the peak never falls.
        with TemporaryDirectory() as folder:
            place = f"{folder}/keys.db"
            store = Store(place)
            large, tiny = store.create_key("large")[0], store.create_key("tiny")[0]
            store.close()
            with server_process("--keys", place, "--timeout", "10", "--max-body-bytes", str(_LIMIT)) as server:
                measure(server, name, body, large, tiny)


if __name__ == "__main__":
    main()
