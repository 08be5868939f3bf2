"""`calibrate` writes a file that `rank` and `score` take, says "none of these answers", and refuses in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.calibrate import Calibration
from qwen3_reranker.cli.ranking_output import shortest
from tests.cli.conftest import Run
from tests.evaluate.conftest import TASKS, write_lines

FIT = ("calibrate", "pairs.jsonl", "--format", "json")


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two queries of each task, each with its answer and two other documents."""
    monkeypatch.chdir(tmp_path)
    answers = list(TASKS.values())
    rows = [
        {"query": query, "document": answers[(number + step) % len(answers)], "label": int(step == 0)}
        for number, task in enumerate(TASKS)
        for query in (task, f"how do I {task}?")
        for step in range(3)
    ]
    return write_lines(tmp_path / "pairs.jsonl", rows)


@pytest.mark.usefixtures("pairs")
def test_a_calibration_of_pairs_is_used_by_rank_with_its_threshold(run: Run) -> None:
    outcome = run(*FIT, "--answer-precision", "0.5")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    made = json.loads(Path("calibration.json").read_text(encoding="utf-8"))
    assert made == found["calibration"]
    assert made["data"] == {
        "sets": ["pairs"],
        "first_stages": ["random order, at most 3"],
        "queries": 24,
        "pairs": 72,
        "relevant": 24,
    }
    assert "<svg" in Path("evaluation/calibration.html").read_text(encoding="utf-8")
    assert "# Calibration" in Path("evaluation/calibration.md").read_text(encoding="utf-8")
    Path("notes.txt").write_text("\n".join(TASKS.values()), encoding="utf-8")
    arguments = ("rank", "undo the last commit", "notes.txt", "--format", "jsonl")
    own, calibrated = run(*arguments).hits, run(*arguments, "--calibrated", "calibration.json").hits
    assert [hit["logit"] for hit in own] == [hit["logit"] for hit in calibrated]
    assert [hit["probability"] for hit in own] != [hit["probability"] for hit in calibrated]
    best = calibrated[0]["probability"]
    at_least = run(*arguments, "--calibrated", "calibration.json", "--min-probability", str(best))
    assert [hit["index"] for hit in at_least.hits] == [calibrated[0]["index"]]
    none = run(*arguments, "--calibrated", "calibration.json", "--min-probability", "1")
    assert (none.code, none.out) == (0, "")
    assert none.err.startswith("note: none of these answers: no document has a probability of 1 or more, the best has")


@pytest.mark.usefixtures("pairs")
def test_score_gives_the_calibrated_probability_beside_the_same_logit(run: Run) -> None:
    assert run(*FIT).code == 0
    own, calibrated = (run("score", "pairs.jsonl", *extra).hits for extra in ((), ("--calibrated", "calibration.json")))
    assert [row["logit"] for row in own] == [row["logit"] for row in calibrated]
    logits_N = np.array([row["logit"] for row in own], np.float32)
    expected = Calibration.read("calibration.json").probabilities(logits_N)
    assert [row["probability"] for row in calibrated] == [shortest(value) for value in expected]


@pytest.mark.usefixtures("pairs")
def test_the_parts_of_a_job_have_the_probabilities_of_one_calibration(run: Run) -> None:
    assert run(*FIT).code == 0
    arguments = ("score", "pairs.jsonl", "--calibrated", "calibration.json")
    expected = run(*arguments).hits
    job = ("-o", "parts/", "--part-rows", "36")
    assert run(*arguments, *job).code == 0
    parts = sorted(Path("parts").glob("part-*"))
    assert [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()] == expected
    parts[0].unlink()
    assert run(*arguments, *job).code == 0
    assert parts[0].exists()
    [method] = {"platt", "isotonic"} - {Calibration.read("calibration.json").map.method}
    assert run(*FIT, "--method", method, "-o", "other.json").code == 0
    for other in (("score", "pairs.jsonl"), ("score", "pairs.jsonl", "--calibrated", "other.json")):
        refused = run(*other, *job)
        assert (refused.code, refused.out) == (2, "")
        assert 'calibration was "' in refused.err
    foreign = run(*arguments, "--instruction", "find code", "-o", "foreign/")
    assert foreign.err.startswith("error: the calibration belongs to the instruction")
    assert not Path("foreign", "_job.json").exists()


@pytest.mark.usefixtures("pairs")
def test_the_calibration_beside_a_model_needs_no_name(run: Run, small_checkpoint: Path) -> None:
    model = shutil.copytree(small_checkpoint, "model")
    Path("notes.txt").write_text("\n".join(TASKS.values()), encoding="utf-8")
    arguments = ("rank", "undo the last commit", "notes.txt", "-m", str(model), "--format", "json")
    missing = run(*arguments, "--calibrated")
    assert (missing.code, missing.out) == (2, "")
    assert "no calibration is stored beside the model: there is no model/calibration.json" in missing.err
    assert run(*FIT, "-m", str(model), "-o", "model/calibration.json").code == 0
    named = run(*arguments, "--calibrated", "model/calibration.json")
    for bare in (
        (*arguments, "--calibrated"),
        ("rank", "--calibrated", *arguments[3:], "--", *arguments[1:3]),
    ):
        found = run(*bare)
        assert found.code == 0, found.err
        assert found.out == named.out
    taken = run("rank", "--calibrated", "undo the last commit", "notes.txt", "-m", str(model))
    assert (taken.code, taken.out) == (2, "")
    assert "undo the last commit: no such file; for the calibration beside the model" in taken.err
    server = run("rank", "a query", "notes.txt", "-m", "http://127.0.0.1:9", "--calibrated")
    assert (server.code, "name its file, --calibrated FILE" in server.err) == (2, True)


@pytest.mark.usefixtures("pairs")
def test_a_second_fit_takes_the_logits_that_are_there(run: Run) -> None:
    first = run(*FIT)
    [logits] = Path("evaluation/pairs").glob("*.jsonl")
    content = logits.read_bytes()
    again = run(*FIT)
    assert again.out == first.out
    assert logits.read_bytes() == content


@pytest.mark.usefixtures("pairs")
def test_a_table_of_pairs_gives_the_same_fit(run: Run) -> None:
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = ["query\tdocument\trelevant", *(f"{row['query']}\t{row['document']}\t{row['label']}" for row in rows)]
    Path("pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = json.loads(run(*FIT).out)["calibration"]
    found = json.loads(run("calibrate", "pairs.tsv", "--format", "json").out)["calibration"]
    assert found == expected


@pytest.mark.usefixtures("pairs")
def test_the_terminal_shows_what_the_page_plots(run: Run) -> None:
    shown = run("calibrate", "pairs.jsonl", "--format", "table").out
    _, _, risk = shown.partition("Risk and coverage\n")
    last = risk.split("\n\n")[0].splitlines()[-1]
    assert re.fullmatch(r"1\.000 +[01]\.\d{3}", last)


@pytest.mark.usefixtures("pairs")
def test_another_instruction_is_refused_unless_it_is_allowed(run: Run) -> None:
    assert run(*FIT).code == 0
    Path("notes.txt").write_text("git commit\n", encoding="utf-8")
    other = ("rank", "a query", "notes.txt", "--instruction", "find code", "--calibrated", "calibration.json")
    refused = run(*other)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: the calibration belongs to the instruction")
    assert run(*other, "--allow-other-calibration").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("calibrate", "few.jsonl"), "1 labelled queries are too few"),
        (("calibrate", "missing.jsonl"), "missing.jsonl: no such file"),
        (("calibrate", "unlabelled.jsonl"), "unlabelled.jsonl:1: expected the field 'label' or 'relevant'"),
        (("rank", "a query", "few.jsonl", "--calibrated", "few.jsonl"), "few.jsonl: "),
        (("rank", "a query", "few.jsonl", "--allow-other-calibration"), "has a meaning with --calibrated alone"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: tuple[str, ...], words: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pair = {"query": "a query", "document": "a text"}
    write_lines(tmp_path / "few.jsonl", [{**pair, "label": 1}, {**pair, "document": "b", "label": 0}])
    write_lines(tmp_path / "unlabelled.jsonl", [pair])
    outcome = run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
