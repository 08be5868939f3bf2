"""Every round computes anew, precisions take turns in processes of their own, an interruption keeps what is done."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import CheckpointError, InputError, Reranker
from qwen3_reranker.bench import BenchReport, BenchWorkload, Measured, measure

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes in /proc")
PAIRS = tuple(("where is it", f"it lies in drawer {number}") for number in range(4))
SOME = BenchWorkload("some", 1, PAIRS, 6.0, 400)


_EARLIER: set[str] = set()


def children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(autouse=True)
def _earlier() -> None:
    """Other tests may leave a helper of multiprocessing to this process, which lives as long as it does."""
    _EARLIER.clear()
    _EARLIER.update(children())


def processes() -> list[str]:
    """Those that a test has started and that have not ended."""
    return [each for each in children() if each not in _EARLIER]


def test_rates_belong_to_the_workload_and_shares_sum_to_one() -> None:
    report, told = BenchReport(), []
    measure("nano", [SOME], ["float32", "int8"], 2, {}, report=report, on_progress=told.append)
    exact, eight = report.measured
    assert (exact.precision, exact.ratio, exact.rounds) == ("float32", 1.0, 2)
    assert eight.ratio == pytest.approx(exact.seconds / eight.seconds)
    for each in (exact, eight):
        assert each.documents_per_second * each.seconds == pytest.approx(4)
        assert each.tokens_per_second * each.seconds == pytest.approx(400)
        assert each.shares is not None
        assert sum(each.shares) == pytest.approx(1)
    # Nothing is kept from the round before; 8 bits have the template's beginning from the start.
    assert exact.computed_per_second * exact.seconds > eight.computed_per_second * eight.seconds > 4 * 6
    assert set(report.peak_bytes) == {"float32", "int8"}
    assert exact.mean_delta == 0
    with Reranker("nano") as wide, Reranker("nano", precision="int8") as narrow:
        moves = np.abs(wide.logits(PAIRS) - narrow.logits(PAIRS))
    assert eight.mean_delta == pytest.approx(moves.mean(), rel=1e-3)
    assert report.mean_deltas == {"int8": eight.mean_delta}
    assert report.documents_per_second == {each.precision: each.documents_per_second for each in report.measured}
    assert told == sorted(told)
    assert told[-1] == 1
    assert not processes()


def test_figures_of_all_workloads_weigh_each_pair_alike_and_need_float32() -> None:
    report = BenchReport(peak_bytes={"float32": 1, "int8": 1})
    for pairs, name, seconds, delta in [
        (1, "float32", 1, 0),
        (1, "int8", 2, 4),
        (3, "float32", 3, 0),
        (3, "int8", 2, 0),
    ]:
        report.measured.append(Measured("w", name, pairs, 1, seconds, pairs / seconds, 1, 1, 1, delta, (1, 0, 0)))
    assert report.documents_per_second == {"float32": 1, "int8": 1}
    assert report.mean_deltas == {"int8": 1}
    report.measured, report.peak_bytes = [each for each in report.measured if each.precision == "int8"], {"int8": 1}
    assert report.mean_deltas == {}


def test_an_interruption_ends_the_processes_and_keeps_the_workloads_that_were_done() -> None:
    report = BenchReport()

    def interrupted(share: float) -> None:
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure("nano", [SOME, SOME], ["float32"], 1, {}, report=report, on_progress=interrupted)
    assert [each.workload for each in report.measured] == ["some"]
    assert not processes()


def test_what_goes_wrong_in_a_process_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        measure(str(tmp_path), [SOME], ["float32"], 1, {}, report=BenchReport())
    with pytest.raises(InputError, match="at least one"):
        measure("nano", [], ["float32"], 1, {}, report=BenchReport())
    assert not processes()
