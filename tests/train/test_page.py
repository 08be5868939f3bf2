"""The page on training is true: its first commands and its Python run, and all flags that it names are there."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from qwen3_reranker.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for language, text in BLOCKS
    if language == "sh"
    for line in text.replace("\\\n", " ").splitlines()
    if line.startswith("qwen3-reranker ")
]


def test_every_flag_that_the_page_names_is_on_its_verb_s_page() -> None:
    for arguments in COMMANDS:
        verb = arguments[: 2 if arguments[0] == "train" else 1]
        page = io.StringIO()
        with contextlib.redirect_stdout(page):
            assert main([*verb, "--help"]) == 0
        for flag in (each for each in arguments if each.startswith("--")):
            assert f"{flag} " in page.getvalue(), (verb, flag)


@pytest.mark.slow
def test_the_first_commands_run_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    validate, run, rank = COMMANDS[:3]
    mine = next(arguments for arguments in COMMANDS if arguments[:2] == ["train", "mine"])
    with contextlib.chdir(tmp_path), contextlib.redirect_stdout(io.StringIO()):
        # A step is enough to see that it runs; what it wrote is kept whatever it is worth.
        for arguments in (mine, validate, [*run, "--steps", "1", "--keep-last"], rank):
            assert main(arguments) == 0, arguments
        [code] = [text for language, text in BLOCKS if language == "python"]
        quick = code.replace("TrainOptions(", "TrainOptions(steps=1, max_length=128, ")
        exec(compile(quick, "docs/train.md", "exec"), {})
