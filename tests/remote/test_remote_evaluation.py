"""A server is evaluated as the model behind it is, and scores of two servers never stand in one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwen3_reranker import InputError, Reranker
from qwen3_reranker.cli import main
from qwen3_reranker.evaluate.judging import model_facts
from qwen3_reranker.evaluate.logits_file import LogitsFile, QueryLogits
from testing.live_server import Live, live_server

LINES = [
    {"query": "take back a commit", "positive": ["git revert undoes a commit."], "negative": ["Rice.", "git tags"]},
    {"query": "cook rice", "positive": ["Rice takes twelve minutes."], "negative": ["git log", "Tea takes four."]},
]


@pytest.fixture
def lines(tmp_path: Path) -> str:
    """Queries with their documents."""
    (path := tmp_path / "lines.jsonl").write_text("".join(json.dumps(each) + "\n" for each in LINES), encoding="utf-8")
    return str(path)


def test_a_server_measures_as_the_model_behind_it_and_a_second_run_asks_it_nothing(
    live: Live, lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "nano", live.url, "--on", lines, "-o", str(tmp_path / "out"), "--format", "json"]
    assert main([*command, "--api-key", "secret-key"]) == 0
    first = json.loads(capsys.readouterr().out)
    [here, there] = [each for each in first["systems"] if each["kind"] == "model"]
    assert here["sets"] == there["sets"]
    assert there["settings"]["scores"] == "logits"
    assert there["settings"]["served"]["model_id"] == "nano"
    assert "secret-key" not in "".join(
        each.read_text(encoding="utf-8") for each in (tmp_path / "out").rglob("*") if each.is_file()
    )
    [stored] = [path for path in (tmp_path / "out").rglob("*.jsonl") if "127.0.0.1" in path.name]
    content = stored.read_bytes()
    assert main(command) == 0
    again = json.loads(capsys.readouterr().out)
    assert stored.read_bytes() == content
    assert [each for each in again["systems"] if each["kind"] == "model"][1]["cost"] == there["cost"]


def test_what_a_server_depends_on_names_its_route_and_its_scale_and_no_key(live: Live) -> None:
    with (
        Reranker(live.url, check="off", api_key="secret-key") as logits,
        Reranker(live.url, check="off", dialect="voyage") as probabilities,
    ):
        one, other = model_facts(logits), model_facts(probabilities)
    assert (one["scores"], other["scores"]) == ("logits", "probabilities")
    assert one["served"] == other["served"]
    assert "secret-key" not in json.dumps(one)


def test_a_server_with_other_weights_does_not_continue_a_file(tmp_path: Path) -> None:
    about, judged = {"model": "http://localhost:8000"}, QueryLogits("q", ("a",), (1.5,), 10, 10, 0, 0.1)
    with LogitsFile(tmp_path, "server", about, [4.1, -3.0]) as file:
        file.add(judged)
    with LogitsFile(tmp_path, "server", about, [4.05, -3.02]) as file:
        assert file.judged == {"q": judged}
    with pytest.raises(InputError, match="it has another model now"):
        LogitsFile(tmp_path, "server", about, [4.1, -2.0])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["URL", "--precision", "int8"], 2, "is an option of a model on this machine"),
        (["URL", "--revision", "main"], 2, "revision is an option of a model on this machine"),
        (["nano", "--retries", "3"], 2, "--retries is for a server: give its URL as the model"),
        (["http://127.0.0.1:9"], 4, "is the server running there"),
        (["URL", "--first-stage", "URL"], 2, "is a server"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(
    live: Live,
    lines: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    given = [live.url if each == "URL" else each for each in arguments]
    assert main(["evaluate", *given, "--on", lines, "-o", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_fault_of_a_server_is_said_once_in_a_line_of_its_own(
    lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_server(models=[{"source": "nano", "options": {"prompt": "pair"}}]) as bare:
        assert main(["evaluate", bare.url, "--on", lines, "-o", str(tmp_path / "out")]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "no-template" in line]
    assert len(said) == 1
    assert said[0].startswith(f"note: {bare.url}: no-template: ")
