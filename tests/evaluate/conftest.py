"""A small labelled set in BEIR's layout, and the bundled model that judges it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.evaluate import LabelledSet, read_sets

TASKS = {
    "undo the last commit": "git reset --soft HEAD~1",
    "list all branches": "git branch --all",
    "show who changed each line": "git blame file.txt",
    "save changes for later": "git stash push",
    "copy a single commit": "git cherry-pick 1a2b3c",
    "find the commit that broke something": "git bisect start",
    "cook rice": "simmer the rice for twelve minutes",
    "repair a puncture": "find the hole, roughen the rubber, glue the patch",
    "search text in files": "grep -r pattern folder",
    "show free space on disks": "df -h shows free space on all disks",
    "pack a folder into an archive": "tar -czf archive.tar.gz folder",
    "make a new key for ssh": "ssh-keygen -t ed25519 makes a new key",
}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_set(folder: Path, **meta: str) -> Path:
    """TASKS as queries, their answers and as many other documents, in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True)
    answers = list(TASKS.values())
    documents = [*answers, *(f"{text}, and more of the kind" for text in answers)]
    write_lines(
        folder / "corpus.jsonl",
        ({"_id": f"d{number}", "title": "", "text": text} for number, text in enumerate(documents)),
    )
    write_lines(
        folder / "queries.jsonl",
        ({"_id": f"q{number}", "text": query} for number, query in enumerate([*TASKS, "unjudged"])),
    )
    rows = [f"q{number}\td{number}\t1" for number in range(len(TASKS))]
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    if meta:
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return folder


@pytest.fixture
def set_folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "tasks")


@pytest.fixture
def tasks(set_folder: Path) -> LabelledSet:
    [labelled] = read_sets(set_folder)
    return labelled


@pytest.fixture(scope="session")
def nano() -> Reranker:
    return Reranker("nano")
