"""Every snippet of a page runs, and prints what the page shows below it."""

import contextlib
import io
import re
import shlex
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker.cli import main
from tests.test_readme import ROOT, blocks_of, same

DOCS = ROOT / "docs"
#: tests/integrations runs these with an embedding model of its own, tests/remote with a server, tests/cli with Ray.
ELSEWHERE = {"integrations.md", "remote.md", "jobs.md"}
PAGES = [
    pytest.param(page.name, marks=[pytest.mark.slow] if page.name in ("search.md", "train.md") else [])
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in ELSEWHERE and "```python" in page.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_prints_what_the_page_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of((DOCS / page).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for (language, code), (following, shown) in zip_longest(blocks, blocks[1:], fillvalue=("", "")):
        if language != "python":
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, page, "exec"), names)
        printed = re.sub(r" +$", "", output.getvalue(), flags=re.MULTILINE)
        # What search and training print is not the same twice.
        assert following != "text" or same(shown.rstrip(), printed.rstrip()), printed


def test_the_commands_of_the_page_on_the_command_line_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```json\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    blocks = blocks_of(page)
    ran = 0
    for (language, commands), (following, shown) in zip_longest(blocks, blocks[1:], fillvalue=("", "")):
        output = io.StringIO()
        for command in commands.splitlines() if language == "sh" else []:
            words = shlex.split(command)[1:]
            if "embed" in words or ("Qwen/" in command and "--dry-run" not in words):
                continue
            with contextlib.redirect_stdout(output):
                assert main(words) == 0, command
            ran += 1
        if language == "sh" and following == "text":
            assert same(shown.rstrip(), _rounded(output.getvalue()).rstrip()), output.getvalue()
    assert ran > 6


def _rounded(text: str) -> str:
    """Numbers with many digits as the page has them, with three."""
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}", text)
