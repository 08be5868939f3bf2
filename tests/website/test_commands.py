"""Every command that a page tells its reader to type is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from qwen3_reranker.cli import PROGRAM
from qwen3_reranker.cli.app import app
from website.staged_pages import PAGES, ROOT

FILES = sorted(PAGES.glob("*.md"))
COMMAND = re.compile(rf"^(?: {{4}})?((?:[A-Z_]+=\S+ )*{PROGRAM} .*?(?:\\\n.*?)*)$", flags=re.MULTILINE)


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
