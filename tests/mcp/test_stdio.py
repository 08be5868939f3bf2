"""As a process on stdin and stdout: an agent's client finds and reads, and the process ends when it should."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from qwen3_reranker.search import Index
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run
from tests.cli.conftest import run as run
from tests.mcp.conftest import answer_of, environment, error_of

pytestmark = pytest.mark.slow
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.fixture
def command(index: Index, package_path: None) -> list[str]:
    """The command that an agent's settings name."""
    return [sys.executable, "-m", "qwen3_reranker", "mcp", "--index", index.name]


@pytest.fixture
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it answered."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            ask(process, HELLO)
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[bytes], message: dict[str, Any]) -> Any:
    """The reply to a message. stdout holds nothing else."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    reply = json.loads(process.stdout.readline())
    assert reply["id"] == message["id"]
    return reply


def test_an_agents_client_finds_and_reads_a_passage(command: list[str]) -> None:
    async def calls(mode: str) -> None:
        parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment())
        async with Client(stdio_client(parameters), mode=mode) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "rerank", "get", "status"}
            query = {"query": "take back my last commit", "limit": 1, "budget_seconds": 60}
            [hit] = answer_of(await client.call_tool("search", query))["results"]
            assert (hit["path"], hit["stage"]) == ("git.md", "judged")
            asked = {"path": hit["path"], "first_line": hit["first_line"], "last_line": hit["last_line"]}
            assert answer_of(await client.call_tool("get", asked))["text"].startswith("# Undo\n\nMove the branch")
            assert error_of(await client.call_tool("get", {"path": "../other/git.md"}))

    for mode in ("auto", "legacy"):
        anyio.run(calls, mode)


def test_a_recorded_session_of_codex_finds_and_reads_a_passage(index: Index, command: list[str]) -> None:
    # What Codex CLI 0.171.0 sent, on the index of examples/documents, while a script chose the calls in place of a
    # language model: search, then get with the place of the first result.
    session = (Path(__file__).parent / "codex_session.jsonl").read_text(encoding="utf-8")
    sent = [json.loads(line) for line in session.splitlines()]
    index.remove("notes")
    index.add(Path(__file__).parents[2] / "examples/documents")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        replies = {}
        for message in sent:
            if "id" in message:
                replies[message["method"], message["id"]] = ask(process, message)["result"]
            else:
                process.stdin.write(json.dumps(message).encode() + b"\n")
        process.communicate(timeout=PATIENCE_SECONDS)
    assert [method for method, _ in replies] == ["initialize", "tools/list", "tools/call", "tools/call"]
    welcome, tools, found, lines = replies.values()
    assert "27 files" in welcome["instructions"]
    assert [tool["name"] for tool in tools["tools"]] == ["search", "rerank", "get", "status"]
    assert found["structuredContent"]["results"][0]["path"] == "git-undo-commit.md"
    assert "git reset --soft HEAD~1" in lines["structuredContent"]["text"]


def test_closing_stdin_ends_it_and_stdout_held_only_the_protocol(started: subprocess.Popen[bytes]) -> None:
    assert started.stdin is not None
    for number, line in enumerate((b"no json", b"[]", b'{"jsonrpc":"2.0"}', b"\xff\xfe"), start=2):
        started.stdin.write(line + b"\n")
        assert "result" in ask(started, {"jsonrpc": "2.0", "id": number, "method": "ping"})
    out, err = started.communicate(timeout=PATIENCE_SECONDS)
    assert started.returncode == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    assert b"Traceback" not in err


def test_ctrl_c_ends_it_though_nothing_more_is_sent(started: subprocess.Popen[bytes]) -> None:
    started.send_signal(signal.SIGINT)
    assert started.wait(PATIENCE_SECONDS) == 130
    assert started.stderr is not None
    assert started.stderr.read() == b"interrupted\n"


def test_ctrl_c_ends_the_server_on_http(command: list[str]) -> None:
    with subprocess.Popen([*command, "--http", "--port", "0"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"serving http://127.0.0.1:" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert process.stderr.read() == b"interrupted\n"


def test_a_model_that_is_not_there_is_said_and_searches_name_it(command: list[str]) -> None:
    with subprocess.Popen(
        [*command, "--model", "/no/such/model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        ask(process, HELLO)
        call = {"name": "search", "arguments": {"query": "commit"}}
        result = ask(process, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call})["result"]
        assert result["isError"]
        assert "/no/such/model" in result["content"][0]["text"]
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out) == (0, b"")
    assert err.startswith(b"note: searches fail, as the reranker does not open: no model '/no/such/model'")


def test_options_that_cannot_be_used_are_one_line(run: Run, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    assert "--budget must be above 0" in run("mcp", "--budget", "0", "--index", index).err
    assert "--port must be at most 65535" in run("mcp", "--port", "99999", "--http", "--index", index).err
