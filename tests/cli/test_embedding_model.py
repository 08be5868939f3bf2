"""Verbs that take a model say in one line what an embedding model is; `inspect` shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from tests.cli.conftest import Run

PROMPTS = {"query": "Instruct: Find\nQuery:", "document": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = write_small_checkpoint(tmp_path_factory.mktemp("base"))
    return write_embedding_model(tmp_path_factory.mktemp("embedding"), base, prompts=PROMPTS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["rank", "q", "{notes}", "-m", "{model}"],
        ["convert", "{model}", "{notes}.gguf", "--to", "gguf"],
        ["inspect", "{model}", "--drift"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_a_judge_ends_with_one_line_that_says_so(
    run: Run, folder: Path, notes: Path, arguments: list[str]
) -> None:
    places = {"model": folder, "notes": notes / "notes.txt"}
    done = run(*(argument.format(**places) for argument in arguments))
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1), done.err
    assert "an embedding model, which has no yes/no head; embed texts with Embedder" in done.err


def test_inspect_shows_its_prompts_and_no_head(run: Run, folder: Path) -> None:
    found = json.loads(run("inspect", str(folder)).out)
    assert (found["layout"], found["head"], found["prompts"]) == ("embedding", None, PROMPTS)
    assert (found["tokenizer"]["prefix_tokens"], found["tokenizer"]["suffix_tokens"]) == (0, 1)
    shown = run("inspect", str(folder), "--format", "table").out
    assert "an embedding model" in shown
    assert "Instruct: Find\\nQuery:" in shown
    assert "matrix" not in shown


def test_the_doctor_names_it(run: Run, folder: Path) -> None:
    done = run("doctor", str(folder))
    assert (done.code, [finding["fault"] for finding in json.loads(done.out)["findings"]]) == (1, ["embedding-model"])
