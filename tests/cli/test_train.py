"""`train` goes from any tool's file to a model that ranks, says what it did, and ends bad input in one line."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.cli import main, train_data, train_merge
from qwen3_reranker.train.example_file import read_examples, write_examples
from qwen3_reranker.train.import_formats import FORMATS
from qwen3_reranker.train.interruption import STOPPING
from qwen3_reranker.train.merging import METHODS
from tests.train.tuning import fifty

ROOT = str(Path(__file__).parents[2])


def test_the_help_names_what_there_is() -> None:
    assert ("auto", *FORMATS) == train_data.INPUT_FORMATS
    assert train_merge.METHODS[::-1] == METHODS


@pytest.fixture
def triplets(tmp_path: Path) -> Path:
    path = tmp_path / "triplets.jsonl"
    objects = [
        {"query": each.query, "positive": each.positives[0], "negative": list(each.negatives)} for each in fifty()
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_whole_way_from_triplets_to_a_model_that_ranks(
    tmp_path: Path, triplets: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, held_out = tmp_path / "data.jsonl", tmp_path / "data.held-out.jsonl"
    assert main(["train", "prepare", str(triplets), "--output", str(data), "--hold-out", "0.3"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["queries"] + facts["held_out"] == 50
    assert 5 < facts["held_out"] < 30
    assert main(["train", "mine", str(data), "-o", str(tmp_path / "hard.jsonl"), "--negatives", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["queries"] == facts["queries"]
    teach = ["train", "distil", str(tmp_path / "hard.jsonl"), "-o", str(tmp_path / "taught.jsonl"), "--teacher", "nano"]
    assert main(teach) == 0
    assert all(each.scores is not None for each in read_examples(tmp_path / "taught.jsonl"))
    check = ["train", "validate", str(tmp_path / "taught.jsonl"), "--evaluate", str(held_out), "--loss", "kl+bce"]
    assert main([*check, "--format", "table"]) == 0
    assert "is to answer yes" in capsys.readouterr().out
    out = tmp_path / "run"
    arguments = [
        *("train", "run", str(tmp_path / "taught.jsonl"), "--output", str(out), "--model", str(small_checkpoint)),
        *(
            "--evaluate",
            str(held_out),
            "--loss",
            "kl+bce",
            "--steps",
            "2",
            "--rate",
            "0.001",
            "--tensorboard",
            "--keep-last",
        ),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out / "model")
    assert "tokens computed of" in printed.err
    assert list((out / "tensorboard").iterdir())
    assert main([*arguments, "--resume"]) == 0
    with Reranker(out / "model") as reranker:
        assert len(reranker.rank("river", ["a", "b"])) == 2
    capsys.readouterr()
    merged = tmp_path / "merged"
    assert main(["train", "merge", str(out / "model"), str(small_checkpoint), "-o", str(merged)]) == 0
    with Reranker(merged) as reranker:
        assert len(reranker.rank("river", ["a", "b"])) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "FILE", "-o", "OUT", "--from", "csv"], "--from"),
        (["prepare", "FILE", "-o", "OUT", "--hold-out", "1.5"], "share"),
        (["validate", "missing.jsonl"], "no such file"),
        (["validate", "FILE", "--evaluate", "FILE"], "held-out query is trained on"),
        (["validate", "FILE", "--loss", "magic"], "loss 'magic'"),
        (["mine", "FILE", "-o", "OUT", "--ranks", "10"], "--ranks"),
        (["mine", "FILE", "-o", "OUT", "--run", "FILE"], "--corpus"),
        (["mine", "FILE", "-o", "OUT", "--margin", "2"], "margin"),
        (["distil", "FILE", "-o", "OUT"], "teacher"),
        (["distil", "FILE", "-o", "FILE", "--teacher", "nano"], "--resume"),
        (["synthesise", "FILE", "-o", "OUT", "--endpoint", "nowhere", "--writer", "m"], "address"),
        (["synthesise", "FILE", "-o", "OUT"], "endpoint"),
        (["run", "FILE", "-o", "OUT", "--method", "qlora"], "method"),
        (["run", "FILE", "-o", "OUT", "--rate", "-1"], "--rate must be"),
        (["run", "FILE", "-o", "OUT", "--evaluate", "FILE"], "held-out query is trained on"),
        (["run", "FILE", "-o", "OUT", "--model", "no/such/model/at/all"], "no model"),
        (["run", "FILE", "-o", "OUT", "--loss", "kl"], "train distil"),
        (["merge", "nano", "-o", "OUT"], "two models"),
        (["merge", "nano", "nano", "-o", "OUT", "--shares", "a,b"], "--shares"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_examples(tmp_path / "data.jsonl", fifty())
    places = {"FILE": str(tmp_path / "data.jsonl"), "OUT": str(tmp_path / "out")}
    code = main(["train", *(places.get(each, each) for each in arguments)])
    error = capsys.readouterr().err.strip()
    assert code == 2
    assert message in error
    assert "\n" not in error.removeprefix("note: ").split("error:")[1]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("package_path")
def test_ctrl_c_is_answered_at_once_and_ends_the_run_when_its_step_is_whole(
    tmp_path: Path, small_checkpoint: Path
) -> None:
    data, held_out, out = tmp_path / "data.jsonl", tmp_path / "held-out.jsonl", tmp_path / "run"
    write_examples(data, fifty())
    write_examples(held_out, fifty(2, count=6))
    command = [
        *(sys.executable, "-m", "qwen3_reranker", "train", "run", str(data), "--evaluate", str(held_out)),
        *("--model", str(small_checkpoint), "--output", str(out), "--steps", "100000", "--evaluate-every", "100000"),
    ]

    def steps() -> int:
        return len((out / "log.csv").read_text(encoding="utf-8").splitlines()) if (out / "log.csv").exists() else 0

    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("step 0/"))
        process.send_signal(signal.SIGINT)
        next(line for line in process.stderr if line == f"{STOPPING}\n")
        known = steps()
        printed, rest = process.communicate()
    assert process.returncode == 130
    assert printed == ""
    assert rest == "note: stopped; the same command with --resume goes on\ninterrupted\n"
    assert steps() <= max(known, 1) + 1, "the step under way is the last"


@pytest.mark.slow
def test_a_run_that_helps_nothing_writes_no_model_and_says_so(
    tmp_path: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_examples(tmp_path / "data.jsonl", fifty())
    write_examples(tmp_path / "held-out.jsonl", fifty(2, count=6))
    arguments = [
        *("train", "run", str(tmp_path / "data.jsonl"), "--evaluate", str(tmp_path / "held-out.jsonl")),
        *("--model", str(small_checkpoint), "--output", str(tmp_path / "run"), "--steps", "1", "--rate", "1e-12"),
    ]
    assert main(arguments) == 5
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no evaluation beat the start model, so no model was written" in printed.err
    assert not (tmp_path / "run" / "model").exists()
    assert main([*arguments, "--resume", "--keep-last"]) == 0
    assert (tmp_path / "run" / "model" / "adapter_config.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("package_path")
def test_ctrl_c_while_a_teacher_scores_says_how_to_go_on(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    write_examples(data, fifty(count=2000))
    command = [sys.executable, "-m", "qwen3_reranker", "train", "distil", str(data), "--teacher", "nano"]
    output = tmp_path / "taught.jsonl"
    with subprocess.Popen([*command, "--output", str(output)], stderr=subprocess.PIPE, text=True) as process:
        while not output.exists() or not output.read_bytes():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said == "note: stopped; the same command with --resume goes on\ninterrupted\n"
    assert len(read_examples(output)) < 2000


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--model", "nosuch"),
        ("validate", "--model", "nosuch"),
        ("mine", "--teacher", "nosuch"),
        ("distil", "--teacher", "nosuch"),
    ],
)
def test_models_are_opened_before_data_are_read(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text("{\n", encoding="utf-8")
    verb, *flags = arguments
    output = [] if verb == "validate" else ["--output", str(tmp_path / "out")]
    assert main(["train", verb, str(tmp_path / "bad.jsonl"), *flags, *output]) == 2
    assert "no model 'nosuch'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "validate", "mine"])
def test_a_file_without_examples_is_named(tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    output = [] if verb == "validate" else ["--output", str(tmp_path / "out")]
    assert main(["train", verb, str(tmp_path / "empty.txt"), *output]) == 2
    assert f"{tmp_path / 'empty.txt'}: no examples; expected lines of" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["prepare", "validate", "mine", "distil", "synthesise", "run", "merge"])
def test_every_verb_has_a_page_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", verb, "--help"]) == 0
    page = capsys.readouterr().out
    assert f"qwen3-reranker train {verb} " in page.partition("Examples:")[2]


@pytest.mark.slow
def test_the_training_example_of_the_readme_helps_on_pages_that_were_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    [command] = re.findall(r"^ +qwen3-reranker (train run .*)$", Path("README.md").read_text("utf-8"), re.MULTILINE)
    arguments = command.replace("runs/first", str(tmp_path / "run")).split()
    assert main([*arguments, "--steps", "5"]) == 0
    with (tmp_path / "run" / "evaluations.csv").open(encoding="utf-8", newline="") as file:
        start, *_, end = (float(row["ndcg@10"]) for row in csv.DictReader(file))
    assert end > start + 0.1
