"""`--model URL` ranks with a server; what it cannot do is one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.cli import main
from testing.live_server import Live, live_server

TEXTS = ["Mars is the red planet.", "Venus is hot.", "Bread needs an hour to rise."]


@pytest.fixture
def documents(tmp_path: Path) -> str:
    """A file of three documents."""
    (path := tmp_path / "documents.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return str(path)


def test_rank_prints_what_the_model_behind_the_server_says(
    live: Live, documents: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rank", "Which planet is red?", documents, "-m", f"{live.url}/v1", "--format", "json"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    report = json.loads(output.out)
    with Reranker("nano") as nano:
        expected = nano.rank("Which planet is red?", TEXTS)
    assert report["model"] == f"{live.url}/v1"
    assert [each["index"] for each in report["results"]] == [hit.index for hit in expected]
    found = [each["logit"] for each in report["results"]]
    assert found == pytest.approx([hit.logit for hit in expected], abs=1e-3)
    assert main(["rank", "Which planet is red?", documents, "-m", live.url, "--format", "table"]) == 0
    assert TEXTS[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "int8"], "precision is an option of a model on this machine"),
        (["--explain-plan"], "--explain-plan needs the model on this machine"),
        (["--revision", "main"], "revision is an option of a model on this machine"),
    ],
)
def test_options_of_a_model_here_are_refused(
    live: Live, documents: str, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["rank", "red?", documents, "-m", live.url, *options]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err
    assert output.err.count("\n") == 1


def test_an_option_of_a_model_here_is_refused_before_a_folder_is_indexed(
    live: Live, documents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index"
    folder = str(Path(documents).parent)
    assert main(["search", "red?", folder, "-m", live.url, "--precision", "int8", "--index", str(index)]) == 2
    error = capsys.readouterr().err
    assert "precision is an option of a model on this machine" in error
    assert error.count("\n") == 1
    assert not index.exists()


def test_an_option_of_a_model_here_is_refused_where_all_others_are_stored_runs(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, run = tmp_path / "lines.jsonl", tmp_path / "other.trec"
    lines.write_text(json.dumps({"query": "red?", "positive": TEXTS[:1], "negative": TEXTS[1:]}) + "\n")
    run.write_text("1 Q0 1 1 1.0 other\n")
    assert main(["evaluate", live.url, str(run), "--on", str(lines), "--precision", "int8"]) == 2
    assert "precision is an option of a model on this machine" in capsys.readouterr().err


def test_options_of_a_server_are_refused_for_a_model_here(documents: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", "red?", documents, "--api-key", "secret", "--retries", "3"]) == 2
    assert capsys.readouterr().err == "error: --api-key, --retries is for a server: give its URL as the model\n"


def test_a_server_without_the_template_is_noted_in_one_line(documents: str, capsys: pytest.CaptureFixture[str]) -> None:
    with live_server(models=[{"source": "nano", "options": {"prompt": "pair"}}]) as bare:
        assert main(["rank", "red?", documents, "-m", bare.url, "--format", "jsonl"]) == 0
        said = capsys.readouterr().err
        assert said.startswith(f"note: {bare.url}: no-template: ")
        assert said.count("\n") == 1
        assert main(["rank", "red?", documents, "-m", bare.url, "--check", "error"]) == 4
        assert "no-template" in capsys.readouterr().err


def test_score_and_distil_take_the_scores_of_a_server(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Reranker("nano") as nano:
        expected = nano.logits([("red?", text) for text in TEXTS]).tolist()
    pairs, examples, taught = tmp_path / "pairs.jsonl", tmp_path / "examples.jsonl", tmp_path / "taught.jsonl"
    pairs.write_text("".join(json.dumps({"query": "red?", "document": text}) + "\n" for text in TEXTS))
    assert main(["score", str(pairs), "-m", live.url]) == 0
    found = [json.loads(line)["logit"] for line in capsys.readouterr().out.splitlines()]
    assert found == pytest.approx(expected, abs=1e-3)
    assert main(["score", str(pairs), "-m", live.url, "--dry-run"]) == 2
    assert "--dry-run needs the model on this machine" in capsys.readouterr().err
    examples.write_text(json.dumps({"query": "red?", "pos": TEXTS[:1], "neg": TEXTS[1:]}) + "\n")
    assert main(["train", "distil", str(examples), "-o", str(taught), "--teacher", live.url]) == 0
    line = json.loads(taught.read_text())
    assert line["pos_scores"] + line["neg_scores"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "command",
    [
        ["bench", "URL"],
        ["convert", "URL", "out.gguf"],
        ["embed", "FILE", "-m", "URL"],
        ["inspect", "URL"],
        ["inspect", "URL", "--drift"],
        ["serve", "--model", "URL", "--port", "0"],
        ["train", "run", "FILE", "-m", "URL", "-o", "out"],
        ["doctor", "nano", "--reference", "URL"],
    ],
    ids=" ".join,
)
def test_a_verb_that_needs_the_weights_says_so_in_one_line(
    live: Live,
    documents: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"URL": live.url, "FILE": documents}
    assert main([places.get(each, each) for each in command]) == 2
    error = capsys.readouterr().err.removeprefix(f"note: loading {live.url} ...\n")
    assert "server" in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert {each.name for each in tmp_path.iterdir()} == {"documents.txt"}
