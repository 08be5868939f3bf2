"""The reference of the command as Markdown: the help text of every verb, as a terminal shows it."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import typer

from qwen3_reranker.cli import PROGRAM, main
from qwen3_reranker.cli.app import app

_COLUMNS = "100"


def command_reference() -> str:
    """A page with a section for each verb."""
    parts = ["# Command reference", "What `--help` prints. It is made from the code."]
    for verb in _verbs(typer.main.get_command(app), ()):
        parts += [f"## {' '.join((PROGRAM, *verb))}", f"```text\n{_help(verb)}\n```"]
    return "\n\n".join(parts) + "\n"


def _verbs(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths of all verbs, a group before its own."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _verbs(below, (*path, name))


def _help(verb: tuple[str, ...]) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), patch.dict(os.environ, COLUMNS=_COLUMNS, NO_COLOR="1"):
        main([*verb, "--help"])
    return "\n".join(line.rstrip() for line in output.getvalue().strip().splitlines())
