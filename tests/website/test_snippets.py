"""What the pages tell a reader to type works: Python runs and prints what is shown, commands are understood."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer

from qwen3_reranker.cli import PROGRAM
from qwen3_reranker.cli.app import app
from tests.test_readme import ROOT, blocks_of, same
from website.staged_pages import PAGES

FILES = sorted(PAGES.glob("*.md"))
COMMAND = re.compile(rf"^(?: {{4}})?((?:[A-Z_]+=\S+ )*{PROGRAM} .*?(?:\\\n.*?)*)$", flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", [path for path in FILES if "```python" in path.read_text(encoding="utf-8")], ids=str)
def test_the_python_of_a_page_runs_and_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    for (language, code), (kind, shown) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, page.name, "exec"), names)
            assert kind != "text" or same(shown.strip(), output.getvalue().strip()), output.getvalue()


def test_the_first_page_shows_what_the_readme_shows() -> None:
    assert (PAGES / "index.md").read_text(encoding="utf-8").count("not for production") == 1


@pytest.mark.parametrize("page", [*FILES, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for command in COMMAND.findall(page.read_text(encoding="utf-8")):
        for each in re.split(r" (?:&&|\||>) ", command.replace("\\\n", " ")):
            words = [word for word in shlex.split(each, comments=True) if not re.match(r"[A-Z_]+=", word)]
            if words and words[0] == PROGRAM and "..." not in words:
                _understand(typer.main.get_command(app), words[1:], each)


def _understand(command: object, words: list[str], shown: str) -> None:
    """Parse the words as the program does, without running anything."""
    name = words[0] if words else ""
    below = getattr(command, "commands", {})
    if below:
        assert name in below or name.startswith("-"), f"{shown}: no verb {name}"
        if name in below:
            _understand(below[name], words[1:], shown)
        return
    try:
        command.make_context(PROGRAM, list(words))  # type: ignore[attr-defined]
    except Exception as error:
        pytest.fail(f"{shown}: {error}")
