"""`serve` on the command line: what is wrong is one line before a model is loaded, and what is right serves."""

import signal
import socket
from pathlib import Path

import httpx2
import pytest

from qwen3_reranker.cli import main
from qwen3_reranker.serve.accounts.store import Store
from testing.layouts import write_embedding_model
from testing.live_server import server_process

WRONG = {
    "a public address without keys": (["--host", "0.0.0.0"], 2, "--allow-public"),
    "a file that is not there": (["--config", "none.toml"], 2, "none.toml"),
    "an unknown precision": (["--precision", "int3"], 2, "int3"),
    "an option without its model": (["--precision", "int8", "--config", "x.toml"], 2, "--model"),
    "an address of somebody else": (["--host", "192.0.2.7", "--allow-public"], 4, "192.0.2.7"),
    "a model that is not there": (["--model", "./no/such/folder", "--port", "0"], 2, "no/such/folder"),
    "two models of one name": (["--model", "nano", "--model", "nano", "--port", "0"], 2, "nano"),
    "keys that nobody made": (
        ["--keys", "no/typo.db", "--port", "0"],
        2,
        "no keys at no/typo.db: `qwen3-reranker keys create NAME --keys no/typo.db` makes the file and the first key",
    ),
    "a database that is none": (["--keys", "mysql://x/y", "--port", "0"], 2, "sqlite"),
    "a calibration of two models": (
        ["--model", "nano", "--model", "two=nano", "--calibrated", "pyproject.toml"],
        2,
        "--calibrated is for one reranker",
    ),
    "a calibration that is not there": (["--calibrated", "none.json"], 2, "none.json: no such file"),
    "no calibration beside the model": (["--calibrated", "--port", "0"], 2, "no calibration is stored beside"),
    "a calibration of nothing": (["--allow-other-calibration"], 2, "--calibrated"),
    "a band of nothing": (["--band", "9"], 2, "it needs --then"),
    "a second model of two": (["--model", "a", "--model", "b", "--then", "c"], 2, "--then is for one --model"),
    "the same model twice": (["--then", "nano", "--port", "0"], 2, "two models are called 'nano'"),
    "a second model that is not there": (["--then", "./no/such/folder=large", "--port", "0"], 2, "no/such/folder"),
    "a log format that is none": (["--log-format", "xml"], 2, "--log-format"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_and_an_exit_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, code, says = WRONG[name]
    assert main(["serve", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert says in errors[0]


def test_an_equals_sign_in_a_url_is_no_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--model", "https://example.org/model?file=a.gguf", "--port", "0"]) != 0
    assert "https://example.org/model?file=a.gguf" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 4
    assert "--port" in capsys.readouterr().err


def test_an_embedding_model_that_is_to_rank_is_told_its_own_flag(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_embedding_model(tmp_path / "embedding", small_checkpoint)
    assert main(["serve", "--model", str(folder), "--port", "0"]) == 3
    assert "--embedder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_store_without_a_key_is_warned_of(tmp_path: Path) -> None:
    place = tmp_path / "keys.db"
    Store(str(place)).close()
    with server_process("--keys", str(place)) as server:
        assert any(f"{place} holds no keys, so every request gets 401" in line for line in server.log)


@pytest.mark.slow
def test_it_serves_several_models_by_their_names_and_ends_with_0_on_ctrl_c(tmp_path: Path) -> None:
    arguments = ["--model", "nano=small", "--model", "nano=other", "--log-format", "json", "--precision", "int8"]
    with server_process(*arguments) as server:
        ids = [model["id"] for model in httpx2.get(f"{server.url}/v1/models").json()["data"]]
        assert ids == ["small", "other"]
        body = {"query": "secret question", "documents": ["secret answer"], "model": "OTHER"}
        reply = httpx2.post(f"{server.url}/v1/rerank", json=body)
        assert reply.json()["model"] == "other"
        server.tell(signal.SIGINT)
        assert server.wait() == 0
    log = "".join(server.log)
    assert '"route": "/v1/rerank"' in log
    assert "secret" not in log


@pytest.mark.slow
def test_a_second_model_is_served_behind_the_first(small_checkpoint: Path) -> None:
    arguments = ["--model", f"{small_checkpoint}=small", "--then", "nano=large", "--band", "3"]
    with server_process(*arguments) as server:
        data = httpx2.get(f"{server.url}/v1/models").json()["data"]
        assert [(model["id"], model.get("cascade")) for model in data] == [
            ("small", {"then": "large", "band": 3}),
            ("large", None),
        ]
        body = {"query": "boil rice", "documents": ["rice", "a tag", "boil", "water", "a tent"], "top_n": 1}
        assert httpx2.post(f"{server.url}/v1/rerank", json=body).headers["x-cascade"] == "first=5, then=3"


def test_a_wrong_setting_of_a_file_or_variable_is_named_as_it_is_written_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.toml"
    path.write_text("max_documents = 0", encoding="utf-8")
    assert main(["serve", "--config", str(path)]) == 2
    assert "server.toml: max_documents must be at least 1, got 0" in capsys.readouterr().err
    assert main(["serve", "--max-documents", "0"]) == 2
    assert "error: --max-documents must be at least 1, got 0" in capsys.readouterr().err
    monkeypatch.setenv("QWEN3_RERANKER_MAX_DOCUMENT", "5")
    assert main(["serve"]) == 2
    printed = capsys.readouterr().err
    assert "QWEN3_RERANKER_MAX_DOCUMENT: unknown setting 'max_document': did you mean 'max_documents'?" in printed
    assert "--" not in printed
