"""The real server on its own port, in a thread of the tests or as a process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from qwen3_reranker import __version__
from qwen3_reranker.serve.accounts.store import Store
from qwen3_reranker.serve.application import Application, open_application
from qwen3_reranker.serve.listening import listen
from qwen3_reranker.serve.server import Server
from qwen3_reranker.serve.settings_sources import settings_of
from testing.patience import PATIENCE_SECONDS

# Requests of the tests wait for a server on a loaded machine; five seconds are httpx2's own patience.
for _phase in ("connect", "read", "write", "pool"):
    setattr(httpx2._config.DEFAULT_TIMEOUT_CONFIG, _phase, PATIENCE_SECONDS)


@dataclass(frozen=True)
class Live:
    """A server in this process. `port` is on 127.0.0.1."""

    application: Application
    port: int
    stop: Callable[[], None]

    @property
    def url(self) -> str:
        """Where clients are pointed."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def live_server(**fields: Any) -> Iterator[Live]:
    """The server with these settings, the bundled model if they name none. A missing store of keys is made."""
    settings = settings_of(fields)
    if settings.keys is not None:
        Store(settings.keys, settings.pepper.encode() if settings.pepper else None).close()
    application = open_application(settings, __version__)
    with listen("127.0.0.1", 0) as listening:
        server = Server(application, settings)
        thread = threading.Thread(target=server.run, args=(listening,), name="server")
        thread.start()
        try:
            yield Live(application, listening.port, server.stop)
        finally:
            if not application.context.drain.is_unready:
                server.stop()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


@dataclass(frozen=True)
class ServerProcess:
    """A server as users start it. port: 0 on a unix socket."""

    process: "subprocess.Popen[str]"
    port: int
    log: list[str]

    @property
    def url(self) -> str:
        """Where clients are pointed."""
        return f"http://127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        """Memory that it has now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code."""
        return self.process.wait(seconds)


@contextlib.contextmanager
def server_process(
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: Sequence[str] = (sys.executable, "-m", "qwen3_reranker"),
) -> Iterator[ServerProcess]:
    """`qwen3-reranker serve` with these arguments on a free port, once it is ready."""
    process = subprocess.Popen(
        [*program, "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    log: list[str] = []
    found: list[int] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stderr
        for line in process.stderr:
            log.append(line)
            if address := re.search(r"serving (?:http://\S+:(\d+)|unix:\S+);", line):
                found.append(int(address[1] or 0))
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(PATIENCE_SECONDS), log
        assert found, f"the server ended: {log}"
        yield ServerProcess(process, found[0], log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(PATIENCE_SECONDS)
        assert process.stderr
        process.stderr.close()
