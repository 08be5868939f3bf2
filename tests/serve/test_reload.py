"""SIGHUP: what needs no restart changes, what does is named, and no request is lost."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.reload import Reloader
from qwen3_reranker.serve.settings import ModelSettings, ServerSettings, reloaded
from qwen3_reranker.serve.settings_sources import settings_of
from testing.live_server import ServerProcess, live_server, server_process
from testing.patience import until

BODY = {"query": "q", "documents": ["a", "b"]}
BEFORE = 'usage_flush = 1.0\n[[models]]\nid = "one"\nprice = "0.5"\n'
AFTER = (
    'usage_flush = 2.0\nmax_documents = 1\nlog_level = "debug"\nallowed_hosts = ["rerank.example"]\n'
    '[[models]]\nid = "one"\nprice = "2"\naliases = ["another"]\n'
)


def test_settings_and_names_and_prices_change_at_once() -> None:
    with live_server(models=[{"id": "one"}]) as live, httpx2.Client(base_url=live.url) as client:

        def status(**fields: object) -> int:
            return client.post("/v1/rerank", json=BODY | fields).status_code

        assert (status(), status(model="another")) == (200, 404)
        asyncio.run(
            live.application.reload(
                settings_of({"models": [{"id": "one", "price": 2, "aliases": ["another"]}], "max_documents": 2})
            )
        )
        assert (status(), status(model="another"), status(documents=["a"] * 3)) == (200, 200, 400)
        [model] = client.get("/v1/models").json()["data"]
        assert (model["aliases"], model["pricing"]["prompt"]) == (["another"], "0.000002")
        assert "another" in client.get("/models/nano").text
        assert client.post("/v1/rerank", json=BODY).json()["usage"]["cost"] > 0
        asyncio.run(live.application.reload(settings_of({"models": [{"id": "one"}], "max_body_bytes": 1024})))
        assert (status(model="another"), status(documents=["a" * 2000])) == (404, 413)


def test_what_needs_a_restart_is_named_and_stays() -> None:
    now = ServerSettings()
    read = ServerSettings(port=9, timeout=3, models=(ModelSettings(aliases=("a",)),))
    settings, changed, refused = reloaded(now, read)
    assert (settings.port, settings.timeout, settings.models[0].aliases) == (8000, 3, ("a",))
    assert (changed, refused) == (["models", "timeout"], ["port"])
    for models in [(ModelSettings(id="other"),), (ModelSettings(), ModelSettings(id="other"))]:
        assert reloaded(now, ServerSettings(models=models))[2] == ["models"]


def file_of(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text, encoding="utf-8")
    return path


def logged(server: ServerProcess, text: str) -> Callable[[], bool]:
    return lambda: any(text in line for line in server.log)


@pytest.mark.slow
def test_signals_under_load_change_the_server_and_lose_nothing(tmp_path: Path) -> None:
    async def load(server: ServerProcess) -> list[int]:
        statuses: list[int] = []
        is_over = asyncio.Event()

        async def ask() -> None:
            async with httpx2.AsyncClient(base_url=server.url) as client:
                while not is_over.is_set():
                    reply = await client.post("/v1/rerank", json=BODY | {"documents": ["a"]})
                    statuses.append(reply.status_code)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for number in range(6):
            file_of(tmp_path, AFTER if number % 2 else BEFORE)
            server.tell(signal.SIGHUP)
            until_now = len(statuses)
            while len(statuses) < until_now + 20:
                await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*asking)
        return statuses

    with server_process("--config", str(file_of(tmp_path, BEFORE))) as server:
        assert set(asyncio.run(load(server))) == {200}
        until(logged(server, "as before until a restart: usage_flush"))
        until(lambda: httpx2.post(f"{server.url}/v1/rerank", json=BODY).status_code == 400)
        body = {"query": "q", "documents": ["a"], "model": "another"}
        assert httpx2.post(f"{server.url}/v1/rerank", json=body).status_code == 200
        httpx2.get(f"{server.url}/health/live", headers={"host": "rerank.example"})
        until(logged(server, "route=/health/live"))

        file_of(tmp_path, "max_documents = 0\n")
        server.tell(signal.SIGHUP)
        until(logged(server, "the settings are as before"))
        assert [line for line in server.log if "max_documents must be at least 1, got 0" in line]
        assert httpx2.post(f"{server.url}/v1/rerank", json=body).status_code == 200
        server.tell(signal.SIGTERM)
        assert server.wait() == 0
    assert "Traceback" not in "".join(server.log)


@pytest.mark.slow
def test_a_server_ends_with_the_terminal_that_it_was_started_in() -> None:
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-m", "qwen3_reranker", "serve", "--port", "0"])
    try:
        seen = b""
        while b"Ctrl-C ends it\r\n" not in seen:
            seen += os.read(terminal, 4096)
    finally:
        os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_wrong_settings_are_one_line_and_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> ServerSettings:
        raise InputError("server.toml: timeout must be above 0, got 0")

    with live_server() as live:
        before = live.application.context.settings
        asyncio.run(Reloader(read).reload(live.application))
        assert live.application.context.settings is before
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage() == "the settings are as before: server.toml: timeout must be above 0, got 0"
