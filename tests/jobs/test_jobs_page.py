"""The page on jobs is true: its first command runs, and every flag that it names is there."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pyarrow.parquet

from qwen3_reranker.cli import main
from tests.test_readme import ROOT, blocks_of

COMMANDS = [
    shlex.split(line)[1:]
    for language, text in blocks_of((ROOT / "docs/jobs.md").read_text(encoding="utf-8"))
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("qwen3-reranker ")
]


def test_every_flag_that_the_page_names_is_on_the_verb_s_page() -> None:
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        assert main(["score", "--help"]) == 0
    flags = {each for command in COMMANDS for each in command if each.startswith("--")}
    assert len(flags) > 5
    assert all(f"{flag} " in page.getvalue() for flag in flags)


def test_the_first_command_prints_a_report_like_the_one_that_the_page_shows(tmp_path: Path) -> None:
    shown = next(text for language, text in blocks_of((ROOT / "docs/jobs.md").read_text()) if language == "text")
    output = io.StringIO()
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(output):
        table = pyarrow.table({"query": ["boil rice"] * 2, "document": ["Simmer it.", "List all tags."]})
        pyarrow.parquet.write_table(table, "pairs.parquet")
        assert main(COMMANDS[0]) == 0
    number = re.compile(r"[\d,.]*\d")
    assert number.sub("#", output.getvalue()) == number.sub("#", shown)
