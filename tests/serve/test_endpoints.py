"""The table of endpoints: the docs show it whole, and it holds each path once."""

from collections import Counter
from itertools import groupby
from pathlib import Path

from testing.endpoints import endpoints

DOCS = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_docs_show_every_endpoint_with_its_paths() -> None:
    rows = []
    for (method, summary, public), group in groupby(endpoints(), lambda each: (each.method, each.summary, each.public)):
        paths = " ".join(f"`{each.documented_path}`" for each in group)
        rows.append(f"| {method} {paths} | {summary} | {'no' if public else 'yes'} |")
    table = "\n".join(["| path | answer | key |", "|---|---|---|", *rows])
    assert table in DOCS, f"docs/serve.md must hold this table:\n{table}"


def test_a_path_stands_once_for_each_method() -> None:
    counted = Counter((each.method, each.documented_path) for each in endpoints())
    assert max(counted.values()) == 1
