"""The server on Ray Serve: Ray, its controller, a proxy and replicas, below one process of their own."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from testing.local_server import free_port
from testing.patience import PATIENCE_SECONDS

_READY = "ready"
# Ray and its replicas start, on a loaded machine.
_START_SECONDS = 4 * PATIENCE_SECONDS


@dataclass(frozen=True)
class RayServer:
    """A deployment that runs. driver: the process above all others of it."""

    driver: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        """Where clients are pointed."""
        return f"http://127.0.0.1:{self.port}"

    def redeploy(self, **options: Any) -> None:
        """Change options of the deployment, and return once that is done."""
        assert self.driver.stdin
        self.driver.stdin.write(json.dumps(options) + "\n")
        self.driver.stdin.flush()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return once the deployment is as it should be."""
        assert self.driver.stdout
        log = []
        while (line := self.driver.stdout.readline()) and line.strip() != _READY:
            log.append(line)
        assert line, "".join(log)

    def replicas(self) -> list[psutil.Process]:
        """The processes of the replicas."""
        return actors_below(self.driver.pid, "ServeReplica")


def actors_below(process: int, name: str) -> list[psutil.Process]:
    """The processes of Ray's actors whose class has a name that begins so, started by the process with this id."""
    found = []
    for child in psutil.Process(process).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.cmdline()[:1] and child.cmdline()[0].startswith(f"ray::{name}"):
                found.append(child)
    return found


@contextlib.contextmanager
def ray_server(args: dict[str, Any], **options: Any) -> Iterator[RayServer]:
    """The application with these arguments of its builder, and options of its deployment such as num_replicas."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        driver = subprocess.Popen(
            [sys.executable, "-m", "testing.ray_serving", json.dumps([args, options, port, folder])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "qwen3_reranker.serve.ray.proxy.middlewares",
            },
        )
        assert driver.stdin
        assert driver.stdout
        try:
            server = RayServer(driver, port)
            server.wait_ready()
            yield server
        finally:
            # The driver stops everything once its input ends, also where this process is killed.
            driver.stdin.close()
            try:
                driver.wait(_START_SECONDS)
            finally:
                for left in (
                    [driver, *psutil.Process(driver.pid).children(recursive=True)] if driver.poll() is None else []
                ):
                    left.kill()
            driver.stdout.close()


def _serve(args: dict[str, Any], options: dict[str, Any], port: int, folder: str) -> None:
    import ray
    from ray import serve

    from qwen3_reranker.serve.ray.deployment import deployment_of
    from qwen3_reranker.serve.settings_sources import settings_of

    settings = settings_of(args)
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        _temp_dir=folder,
    )
    serve.start(http_options={"port": port})
    while True:
        serve.run(deployment_of(settings).options(**options).bind(settings))
        print(_READY, flush=True)
        if not (line := sys.stdin.readline()):
            break
        options |= json.loads(line)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    _serve(*json.loads(sys.argv[1]))
