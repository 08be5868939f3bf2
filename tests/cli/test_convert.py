"""`convert` writes any layout, says what it did and whether scores held, and ends with a code that scripts can read."""

import json
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.cli import convert as verb
from qwen3_reranker.cli import main
from qwen3_reranker.convert import BOUNDS, ENCODINGS_OF, LAYOUTS
from qwen3_reranker.option_fields import option_facts

pytestmark = pytest.mark.slow


def test_the_help_names_what_the_conversion_takes() -> None:
    assert verb.LAYOUTS == LAYOUTS
    assert tuple(dict.fromkeys(each for encodings in ENCODINGS_OF.values() for each in encodings)) == verb.ENCODINGS
    bounds = option_facts(verb.ConversionOptions)["bound"].shown
    for encoding in ("f16", "bf16", "q8_0", "q4_0"):
        assert f"{encoding} {BOUNDS[encoding]:g}" in bounds


def test_it_says_what_was_written_and_that_scores_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "nano.gguf"
    assert main(["convert", "nano", str(destination), "--to", "gguf"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["source_layout"], facts["layout"], facts["exact"]) == ("causal-lm", "gguf", True)
    assert facts["bytes"] <= destination.stat().st_size
    parity = facts["parity"]
    assert (parity["pairs"], parity["max_delta"], parity["kendall_tau"], parity["holds"]) == (30, 0, 1, True)
    with Reranker(destination) as reranker:
        assert reranker.rank("q", ["a", "b"]).hits


def test_the_layout_is_that_of_the_destinations_ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "nano", str(tmp_path / "x.gguf"), "--no-parity"]) == 0
    assert json.loads(capsys.readouterr().out)["layout"] == "gguf"


def test_parity_is_that_of_what_was_written_even_where_its_name_means_the_bundled_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "nano", "./nano", "--to", "gguf", "--quantize", "q8_0", "--bound", "0"]) == 5
    assert json.loads(capsys.readouterr().out)["parity"]["max_delta"] > 0


def test_scores_beyond_the_bound_end_with_code_5_and_leave_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = tmp_path / "nano.gguf"
    arguments = ["convert", "nano", str(destination), "--to", "gguf", "--quantize", "q8_0"]
    assert main([*arguments, "--bound", "0.0001", "--format", "table"]) == 5
    printed = capsys.readouterr().out
    assert "DOES NOT HOLD: at most 0.0001 was allowed" in printed
    assert max(map(len, printed.splitlines())) <= 80 + len(str(tmp_path))
    assert destination.exists()


def test_without_parity_nothing_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "nano", str(tmp_path / "classifier"), "--to", "seq-cls", "--no-parity"]) == 0
    assert "parity" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "onnx"], "--to"),
        (["--to", "hf", "--quantize", "q8_0"], "hf is written in f32, f16, bf16"),
        (["--to", "gguf", "--quantize", "q3"], "--quantize"),
        (["--to", "gguf", "--bound", "-1"], "--bound must be a number of at least 0"),
        ([], "missing --to"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "nano", str(tmp_path / "x"), *arguments]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert main(["convert", "nano", str(taken), "--to", "gguf"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert taken.read_text() == "mine"
