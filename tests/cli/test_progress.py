"""Long work shows that it goes on: a bar from the first stage on where people look, and a line or two elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker.cli.progress import ProgressBar, duration
from testing.patience import until
from tests.cli.terminal import on_terminal

Capture = pytest.CaptureFixture[str]
RANK = ("-m", "qwen3_reranker", "rank", "which note?")


pytestmark = pytest.mark.usefixtures("notes")


def test_reading_shows_a_bar_and_ends_at_once_on_control_c(model: str, notes: Path) -> None:
    os.mkfifo(notes / "endless.txt")
    command = [*RANK, "endless.txt", "--model", model]
    shown = on_terminal(command, columns=80, with_stderr=True, interrupt_after="reading documents")
    assert shown.rstrip().endswith("interrupted")


def test_ranking_shows_a_bar_and_ends_at_once_on_control_c(model: str, notes: Path) -> None:
    (notes / "many.txt").write_text("".join(f"{number} notes\n" * 2 for number in range(40_000)), encoding="utf-8")
    command = [*RANK, "many.txt", "--model", model, "--max-batch-tokens", "64"]
    shown = on_terminal(command, columns=80, with_stderr=True, interrupt_after="ranking")
    assert shown.rstrip().endswith("interrupted")


def test_control_c_is_not_lost_where_it_meets_a_destructor() -> None:
    work = (
        "import signal, time\n"
        "from qwen3_reranker.cli.interrupts import interrupts_kept\n"
        "class Dropped:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        len('here Python sees the signal')\n"
        "try:\n"
        "    with interrupts_kept():\n"
        "        Dropped()\n"
        "        while True:\n"
        "            time.sleep(1)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert on_terminal(["-c", work], columns=80, with_stderr=True) == "interrupted\n"


def test_a_bar_goes_on_to_the_next_stage_and_results_may_be_printed_meanwhile() -> None:
    work = (
        "from qwen3_reranker.cli.progress import ProgressBar\n"
        "with ProgressBar('opening') as bar:\n"
        "    bar(0.75)\n"
        "    bar.stage('ranking')\n"
        "    bar(0.25)\n"
        "    print('result')\n"
        "    input()\n"
    )
    shown = on_terminal(["-c", work], columns=80, with_stderr=True, enter_after="25%")
    assert "result" in shown
    assert "ranking" in shown
    assert "75%" not in shown


def clocked(*moments: float) -> ProgressBar:
    """A bar off a terminal whose clock stands at these moments, one after the other, in seconds."""
    times: Iterator[float] = iter(moments)
    return ProgressBar("ranking", "640 documents", silent_seconds=3600, clock=lambda: next(times))


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ((100, 101, 106, 107), "note: ranking 640 documents: about 10 min left\n"),
        ((100, 100.01, 100.5, 105), ""),
        ((100, 100.1, 100.2, 100.3), ""),
    ],
    ids=["minutes", "seconds", "less than can be measured"],
)
def test_elsewhere_the_time_left_is_told_once_where_it_is_long(
    capfd: Capture, moments: tuple[float, ...], told: str
) -> None:
    with clocked(*moments) as bar:
        for share in (0.01, 0.015, 0.02, 0.5):
            bar(share)
    assert capfd.readouterr().err == told


def test_elsewhere_work_that_says_nothing_is_named_once(capfd: Capture) -> None:
    with ProgressBar("reading documents", silent_seconds=0) as bar:
        # What is written while it is read may be lost.
        until(lambda: bar._told)
    assert capfd.readouterr().err == "note: reading documents ...\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(61, "61 s"), (540, "9 min"), (7800, "2 h 10 min"), (72_000, "20 h"), (5_400, "1 h 30 min")]
)
def test_a_duration_is_told_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
