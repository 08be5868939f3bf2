"""A proxy in front of a server, which answers a share of the requests as an overloaded or broken network does."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from testing.local_server import Quiet, serving
from testing.patience import PATIENCE_SECONDS

FAULTS = ("429", "503", "cut before the request", "cut within the reply", "timeout")


@dataclass
class FaultyProxy:
    """A running proxy. share: of the requests that fail; counts: what happened how often, "passed" among it."""

    share: float
    url: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def faulty_proxy(upstream: str, share: float, seed: int = 0) -> Iterator[FaultyProxy]:
    """A proxy of the server at `upstream`; which requests fail depends on the seed and their order alone."""
    proxy, chosen, lock = FaultyProxy(share), random.Random(seed), threading.Lock()
    parts = urlsplit(upstream)

    class Handler(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                failing = chosen.random() < proxy.share
                # A timeout takes long, so it is the rarest.
                fault = chosen.choices(FAULTS, (6, 6, 6, 6, 1))[0] if failing else "passed"
                proxy.counts[fault] += 1
            with suppress(OSError):
                self.answer(fault, body)

        def answer(self, fault: str, body: bytes) -> None:
            if fault in ("429", "503"):
                self.send(int(fault), b'{"error":"later"}', {"Retry-After": "0"})
            elif fault == "cut before the request":
                self.close_connection = True
            elif fault == "timeout":
                proxy.ended.wait(PATIENCE_SECONDS)
                self.close_connection = True
            else:
                connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = reply.read()
                connection.close()
                if fault == "passed":
                    self.send(reply.status, content, {})
                else:
                    self.send(reply.status, content[: len(content) // 2], {"Content-Length": str(len(content))})
                    self.close_connection = True

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with serving(Handler) as url:
        proxy.url = url
        try:
            yield proxy
        finally:
            proxy.ended.set()
