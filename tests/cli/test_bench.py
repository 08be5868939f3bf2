"""`bench` measures, prints for people and for programs, and ends cleanly on Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwen3_reranker.bench import DEFAULT, SIZES
from qwen3_reranker.cli import bench as verb
from qwen3_reranker.drift import fastest_within_limit
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal

pytestmark = pytest.mark.slow

QUICK = ("bench", "nano", "--only", "titles", "--rounds", "1")


def test_the_help_names_every_workload_and_which_are_the_default() -> None:
    assert tuple(SIZES) == verb.WORKLOADS
    assert verb.WORKLOADS[:-1] == DEFAULT
    for name, (queries, documents, tokens) in SIZES.items():
        [line] = [line for line in (verb.bench.__doc__ or "").splitlines() if line.startswith(f"      {name} ")]
        for number in (queries, documents, tokens):
            assert f"{number:,} " in line


def test_json_holds_what_was_measured(run: Run) -> None:
    found = json.loads(run(*QUICK, "--threads", "1").out)
    assert (found["model"], found["threads"], found["rounds"]) == ("nano", 1, 1)
    assert [each["precision"] for each in found["measured"]] == ["float32", "bfloat16", "int8"]
    assert found["workloads"]["titles"]["pairs"] == 200
    for each in found["measured"]:
        assert each["documents_per_second"] > 0
        assert each["tokens_per_second"] > each["computed_per_second"]
        assert sum(each["shares"].values()) == pytest.approx(1)
    assert set(found["peak_bytes"]) == {"float32", "bfloat16", "int8"}
    speeds = {each["precision"]: each["documents_per_second"] for each in found["measured"]}
    assert found["advised"] == fastest_within_limit(speeds, found["mean_deltas"])


def test_markdown_is_one_table_with_a_row_for_each_precision(run: Run) -> None:
    lines = run(*QUICK, "--precision", "int8,float32", "--format", "markdown").out.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert [row.split(" | ")[1] for row in rows[2:]] == ["int8", "float32"]
    assert len({row.count("|") for row in rows}) == 1
    assert lines[-1].startswith("advised: ")


def test_nothing_is_advised_without_float32_to_measure_from(run: Run) -> None:
    assert "advised" not in run(*QUICK, "--precision", "int8", "--format", "table").out
    assert json.loads(run(*QUICK, "--precision", "int8").out)["advised"] is None


@pytest.mark.parametrize("columns", [60, 140])
def test_the_table_fits_the_terminal(columns: int) -> None:
    shown = on_terminal(["-m", "qwen3_reranker", *QUICK, "--precision", "float32"], columns=columns)
    plain = "".join(part.split("m", 1)[-1] if place else part for place, part in enumerate(shown.split("\x1b[")))
    assert max(map(len, plain.split("\n"))) <= columns
    for words in ("nano", "titles", "docs/s", "float32", "products", "attention", "rest", "peak memory"):
        assert words in plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "huge"], "unknown --only 'huge': expected one of short, medium"),
        (["--only", ","], "--only names nothing"),
        (["--precision", "int3"], "unknown --precision 'int3'"),
        (["--precision", "float64"], "unknown --precision 'float64'"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be"),
        (["--format", "xml"], "unknown --format 'xml'"),
        (["--kernels", "abacus"], "unknown --kernels 'abacus'"),
        (["--only", "pair", "--max-length", "512"], "rows hold 512"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(run: Run, options: list[str], message: str) -> None:
    outcome = run("bench", "nano", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


def test_ctrl_c_is_one_word_and_exit_code_130_even_while_processes_start() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qwen3_reranker", "bench", "nano", "--only", "long", "--rounds", "500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        time.sleep(0.01)
    # A terminal sends it to every process of the command.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
