"""The library's names become a verb's flags where they are options, and stay what they are in people's own words."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from qwen3_reranker.cli.app import app
from qwen3_reranker.cli.option_words import in_flags

_PROGRAM: Any = typer.main.get_command(app)
PARAMETERS = _PROGRAM.commands["rank"].params


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("num_threads must be at least 1", "--threads must be at least 1"),
        ("precision must be one of a, b", "--precision must be one of a, b"),
        ("unknown kernels 'x'", "unknown --kernels 'x'"),
        ("got device='cuda:1'; use backend=\"torch\"", "got --device cuda:1; use --backend torch"),
        ("max_length=50 leaves 3; raise max_length.", "--max-length 50 leaves 3; raise --max-length."),
        ("cut it with truncate_queries=True, say", "cut it with --truncate-queries, say"),
        ("at least 400 tokens (max_length)", "at least 400 tokens (--max-length)"),
    ],
)
def test_an_option_is_told_as_its_flag(said: str, expected: str) -> None:
    assert in_flags(said, PARAMETERS) == expected


@pytest.mark.parametrize(
    "said",
    [
        "max_length: no such file or folder",
        "notes/max_length.txt:3: not valid JSON",
        "no field 'text' (its fields: 'max_length', 'precision')",
        "the kernels do not run with this precision on the backend",
        "my_num_threads is no option of this verb, and deterministic=True is none",
    ],
)
def test_files_fields_and_words_of_english_stay_what_they_are(said: str) -> None:
    assert in_flags(said, PARAMETERS) == said
