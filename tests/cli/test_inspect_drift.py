"""`inspect --drift` shows what 8 bits do to a model."""

from __future__ import annotations

import json
import re

import pytest

from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.drift import fastest_within_limit, measure_drift
from qwen3_reranker.engine_options import KERNELS
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal

pytestmark = pytest.mark.slow


def test_json_holds_what_was_measured_for_each_precision(run: Run) -> None:
    found = json.loads(run("inspect", "nano", "--drift").out)["drift"]
    report = measure_drift("nano")
    assert (found["queries"], found["documents"]) == (report.queries, report.documents)
    scale = {"lowest": report.lowest, "highest": report.highest, "spread": report.spread}
    speed = found["float32"].pop("documents_per_second")
    assert found["float32"] == scale
    speeds = {"float32": speed} | {name: each["documents_per_second"] for name, each in found["precisions"].items()}
    means = {name: each["mean_delta"] for name, each in found["precisions"].items()}
    assert found["advised"] == fastest_within_limit(speeds, means)
    assert list(found["precisions"]) == ["bfloat16", "int8", "int8x2"]
    for drift in report.drifts:
        fields = found["precisions"][drift.precision]
        assert fields["mean_delta"] == drift.mean_delta
        assert fields["within_limit"] == drift.within_limit


def test_without_the_flag_nothing_is_measured(run: Run) -> None:
    assert "drift" not in json.loads(run("inspect", "nano").out)
    assert "Drift" not in run("inspect", "nano", "--format", "table").out


@pytest.mark.parametrize("columns", [60, 140])
def test_the_table_has_a_column_for_each_precision_and_fits_its_terminal(columns: int) -> None:
    shown = on_terminal(["-m", "qwen3_reranker", "inspect", "nano", "--drift"], columns=columns)
    _, _, part = re.sub(r"\x1b\[[0-9;]*m", "", shown).partition("Drift from float32\n")
    names = (
        "",
        "mean |delta logit|",
        "max |delta logit|",
        "Kendall tau",
        "top 10 kept",
        "top 1 changed",
        "documents/s",
    )
    for name in names:
        assert re.search(rf"^  {re.escape(name):<18} +\S+ +\S+ +\S+(  \S|$)", part, re.MULTILINE), name
    assert re.search(r"^  advised  +(float32|bfloat16|int8|int8x2)\b", part, re.MULTILINE)
    assert max(len(line) for line in part.splitlines()) <= columns


def test_a_shorter_length_holds_for_the_measurement_too(run: Run) -> None:
    usual = json.loads(run("inspect", "nano", "--drift").out)["drift"]["float32"]
    short = json.loads(run("inspect", "nano", "--drift", "--max-length", "120").out)["drift"]["float32"]
    assert usual != short


def test_kernels_hold_for_the_measurement_too(run: Run) -> None:
    other = next(name for name in KERNELS if name not in ("native", *native_module().variants()))
    absent = run("inspect", "nano", "--drift", "--kernels", other)
    assert (absent.code, absent.out, absent.err.count("\n")) == (4, "", 1)
    assert other in absent.err
