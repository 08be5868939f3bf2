"""A local web server that runs inside a block: a handler in its own thread, or a program."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from threading import Thread

from testing.patience import until


class Quiet:
    """Mix-in for a request handler that logs nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve requests with `handler` inside the block; yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving_program(
    command: Sequence[str], health: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program inside the block, which begins once it answers at `health`; its output goes to the file `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def answers() -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}: {log_end()}"
        try:
            urllib.request.urlopen(health, timeout=5).close()
        except OSError:
            time.sleep(0.2)
            return False
        return True

    def log_end() -> str:
        return log.read_text(errors="replace")[-2000:]

    try:
        until(answers, lambda: f"it did not answer: {log_end()}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on, for a server that cannot be told 0."""
    [port] = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """So many of them, no port twice."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket(AF_INET, SOCK_STREAM)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
