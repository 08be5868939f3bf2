"""What people see: a table that fits a real terminal, with colour only where it is welcome."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal

RANK = ("-m", "qwen3_reranker", "rank", "which note?", "notes", "--model")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def folder(notes: Path) -> Path:
    (notes / "notes" / "with a long name").mkdir(parents=True)
    for number in range(12):
        path = notes / "notes" / "with a long name" / f"note number {number} 日本語.md"
        path.write_text(f"# Note {number}\n\x1b[2J\u202e" + "日本語 text " * 9, encoding="utf-8")
    return notes


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("columns", [40, 80, 140])
def test_the_table_fits_the_terminal_and_shows_the_best_ten(model: str, columns: int) -> None:
    shown = on_terminal([*RANK, model], columns=columns)
    lines = ESCAPES.sub("", shown).split("\n")
    assert max(map(cell_len, lines)) <= columns
    assert re.match(r" *# +prob", lines[0])
    assert [int(line.split()[0]) for line in lines[1:11]] == list(range(1, 11))
    assert all(re.search(r"0\.\d{3} █*[▏▎▍▌▋▊▉]? +[+-]\d\.\d\d  …?.*\.md", line) for line in lines[1:11])
    assert lines[11] == ""
    footer = " ".join(" ".join(lines[12:]).split())
    assert footer.startswith("best 10 of 12 ")
    assert re.search(r"[\d,]+ tokens, [\d,]+ computed \(\d+% saved\)", footer)
    assert ("Note" in lines[1]) == (columns > 40), "documents are shown wherever there is room for a few words"


@pytest.mark.usefixtures("folder")
def test_a_document_cannot_send_control_characters_to_the_terminal_which_gets_colour(model: str) -> None:
    shown = on_terminal([*RANK, model], columns=140)
    assert "\x1b" in shown
    assert "\\x1b[2J\\u202e" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_that_want_it(model: str, environment: dict[str, str], coloured: bool) -> None:
    shown = on_terminal([*RANK, model], columns=80, environment=environment)
    assert ("\x1b" in shown) == coloured


@pytest.mark.usefixtures("folder")
def test_a_table_for_a_file_is_plain_text(run: Run, model: str) -> None:
    outcome = run("rank", "q", "notes", "--model", model, "--format", "table", "--top-k", "12")
    assert "\x1b" not in outcome.out
    assert "12 documents · " in outcome.out
    assert outcome.err == ""


@pytest.mark.usefixtures("package_path")
def test_long_work_shows_a_bar_that_leaves_nothing_behind_and_only_on_a_terminal() -> None:
    work = (
        "import time\n"
        "from qwen3_reranker.cli.progress import ProgressBar\n"
        "with ProgressBar('ranking'{patience}) as bar:\n"
        "    bar(0.25)\n"
        "    {wait}\n"
        "print('done')\n"
    )
    # Long is what lasts until the bar is seen, short what is over before a bar would come.
    long = on_terminal(
        ["-c", work.format(patience="", wait="input()")], columns=80, with_stderr=True, enter_after="25%"
    )
    assert ESCAPES.sub("", long).split("\r")[-1].strip() == "done"
    short = work.format(patience=", after_seconds=3600", wait="pass")
    assert on_terminal(["-c", short], columns=80, with_stderr=True) == "done\n"
    without = work.format(patience=", after_seconds=0", wait="time.sleep(0.2)")
    assert on_terminal(["-c", without], columns=80) == "done\n", "stderr is no terminal here"
