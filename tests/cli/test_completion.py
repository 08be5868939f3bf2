"""Shells complete verbs, flags and the names of a choice, and can install that."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ins", ["inspect"]),
        ("rank --trunc", ["--truncate-queries"]),
        ("rank q notes.txt --precision int", ["int8", "int8x2"]),
        ("keys cr", ["create"]),
        ("train run --schedule c", ["cosine", "constant"]),
    ],
)
def test_a_shell_is_told_what_could_come_next(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, expected: list[str]
) -> None:
    monkeypatch.setenv("_QWEN3_RERANKER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"qwen3-reranker {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    outcome = run()
    assert (outcome.code, outcome.out.split()) == (0, expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed_on_request(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    outcome = run("--show-completion", shell)
    assert outcome.code == 0
    assert "_QWEN3_RERANKER_COMPLETE" in outcome.out
