"""The race with other engines: who cannot run is told and left out; a fresh workload loads anew each round."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.speed.participants import ALL, Participant
from benchmarks.speed.race import KINDS, Race
from benchmarks.speed.table import table
from benchmarks.speed.workloads import Workload

pytestmark = pytest.mark.slow

PAIRS = [("where is it", f"it lies in drawer {number}") for number in range(3)]
UNABLE = Participant("unable", "Another", "ours", None, "in 3 bits", {"precision": "int3"})


@pytest.fixture
def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Race]:
    monkeypatch.setattr(Race, "_rates", lambda self: dict.fromkeys(KINDS, 1.0))
    race = Race(tmp_path, Path("nano"), threads=1, time_limit=60, patience=60)
    yield race
    race.close()


def test_who_cannot_run_is_one_line_below_the_table_and_no_row_of_it(race: Race) -> None:
    outcome = race.run(Workload("some", "3 documents", PAIRS, [100] * 3), [ALL["ours-float32"], UNABLE], rounds=1)
    lines = table(outcome, operations_per_token=1).splitlines()
    [told] = [line for line in lines if "Another" in line]
    assert told.startswith("- Not run: Another, in 3 bits: ")
    assert "int3" in told.rpartition("in 3 bits")[2]
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == ["| **qwen3_reranker**"]


def test_each_round_of_a_fresh_workload_loads_anew_and_times_two_calls(race: Race) -> None:
    outcome = race.run(
        Workload("request", "3 documents", PAIRS, [100] * 3, fresh=True), [ALL["ours-float32"]], rounds=2
    )
    [result] = outcome.results
    assert result.problem is None
    assert len(set(result.loading)) == len(result.first) == len(result.seconds) == 2
    # A process and a model take longer to start than three documents in a small network.
    assert min(result.loading) > max(*result.first, *result.seconds) > 0
    heads = next(line for line in table(outcome, 1).splitlines() if line.startswith("| "))
    assert "s to load | s, first call | s, second call" in heads


def test_every_participant_has_a_name_of_its_own_and_a_rate_to_be_compared_with() -> None:
    assert all(name == participant.name and participant.products in KINDS for name, participant in ALL.items())
    assert len({(participant.title, participant.settings) for participant in ALL.values()}) == len(ALL)
