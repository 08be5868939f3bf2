"""`doctor` prints what it found, and its exit code says whether it found anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from testing.faulty_server import Model, Patient, serve
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def patient() -> Iterator[Patient]:
    """A server of nano that drops instructions."""
    with Reranker("nano") as reranker, serve(Patient(Model(reranker), "tei", "instruction-ignored")) as served:
        yield served


def test_json_holds_each_finding_with_its_fix_and_the_code_is_one(run: Run, patient: Patient) -> None:
    done = run("doctor", patient.url)
    report = json.loads(done.out)
    assert done.code == 1
    assert report["healthy"] is False
    [finding] = report["findings"]
    assert finding["fault"] == "instruction-ignored"
    assert all(finding[part] for part in ("meaning", "evidence", "cause", "fix"))
    assert report["target"] == f"{patient.url}/rerank"


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_table_fits_the_terminal(run: Run, patient: Patient, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = run("doctor", patient.url, "--format", "table").out
    assert "1 fault found" in shown
    assert max(map(len, shown.split("\n"))) <= columns


def test_files_are_checked_and_a_whole_checkpoint_ends_with_zero(run: Run, model: str) -> None:
    done = run("doctor", model, "--format", "table")
    assert (done.code, "No fault found" in done.out) == (0, True)
    (Path(model) / "chat_template.jinja").write_text("Judge whether the Document meets the requirements\n")
    try:
        assert run("doctor", model).code == 1
    finally:
        (Path(model) / "chat_template.jinja").unlink()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["http://127.0.0.1:9"], 4),
        (["http://user:word@localhost"], 2),
        (["no-such-folder/at/all"], 2),
        (["http://localhost", "--dialect", "soap"], 2),
        (["http://localhost", "--timeout", "0"], 2),
        (["nano", "--reference", "nano"], 2),
        (["nano", "--dialect", "tei"], 2),
    ],
)
def test_what_cannot_be_examined_is_one_line(run: Run, arguments: list[str], code: int) -> None:
    done = run("doctor", *arguments)
    assert done.code == code
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "word" not in done.err.replace("password", "")
