"""`search` and `index` find passages in one's own files, say how they were ranked, and what is out of date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two files, in a folder where commands run, with an index of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QWEN3_RERANKER_INDEX", str(tmp_path / "index"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/git.md").write_text("# Undo\n\nMove the branch one commit back.\n", encoding="utf-8")
    (tmp_path / "notes/rice.md").write_text("# Rice\n\nBoil for twelve minutes.\n", encoding="utf-8")
    return tmp_path / "notes"


def test_a_folder_after_the_query_is_indexed_and_searched(run: Run, model: str) -> None:
    outcome = run("search", "boil rice", "notes", "--model", model, "--format", "json")
    assert outcome.code == 0
    assert "notes: 2 added" in outcome.err
    found = json.loads(outcome.out)
    assert (found["candidates"], found["judged"]) == (1, 1)
    [hit] = found["hits"]
    assert (hit["path"], hit["first_line"], hit["last_line"], hit["stage"]) == ("rice.md", 1, 3, "judged")


def test_without_a_folder_the_index_is_searched_and_what_changed_is_said(run: Run, notes: Path) -> None:
    run("index", "add", "notes")
    (notes / "new.md").write_text("branch", encoding="utf-8")
    outcome = run("search", "branch", "--no-rerank", "--files")
    assert outcome.out == f"{notes / 'git.md'}\n"
    assert "1 files changed since the index was updated; qwen3-reranker index update" in outcome.err
    assert "1 added" in run("index", "update").err
    assert run("search", "branch", "--no-rerank", "--files").out.count("\n") == 2


def test_the_table_names_places_stages_and_matching_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    run("index", "add", "notes")
    lines = run("search", "commit back", "--no-rerank", "--format", "table").out.splitlines()
    assert lines[0].split() == ["1", "git.md:1", "not", "judged"]
    assert lines[1].strip() == "1 # Undo"
    assert lines[2].strip() == "3 Move the branch one commit back."
    assert lines[-1].startswith("1 document · none of 1 candidates judged · ")
    assert max(map(len, lines)) <= 60


def test_the_table_of_a_set_names_copies_and_says_what_was_left_out(
    run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    (notes / "copy.md").write_text("# Undo\n\nMove the branch one commit back!\n", encoding="utf-8")
    (notes / "more.md").write_text("# Branches\n\nA branch names a commit.\n", encoding="utf-8")
    folded = run("search", "commit", "notes", "--limit", "1", "--fold", "0.8", "--format", "table")
    assert folded.code == 0
    assert all(words in folded.out for words in ("1 document ", "1 folded", "1 left out"))
    fitted = run("search", "commit", "--fit", "100", "--fold", "0.8", "--why", "--format", "table")
    assert fitted.code == 0
    assert all(words in fitted.out for words in (" also ", " tokens", "1 folded", "scored alone"))
    assert max(map(len, [*folded.out.splitlines(), *fitted.out.splitlines()])) <= 60


def test_why_shows_the_sentence_that_answers_below_each_result(run: Run, notes: Path) -> None:
    text = "# Undo\n\nThis page is short and about git. Move the branch one commit back, which takes it back.\n"
    (notes / "git.md").write_text(text, encoding="utf-8")
    asked = ("search", "how do I move one commit back", "notes", "--limit", "1", "--why")
    lines = run(*asked, "--format", "table").out.splitlines()
    assert next(line.split("  ")[-1] for line in lines if "alone" in line).startswith("Move the branch one commit")
    assert "2 sentences scored alone and left out" in lines[-1]
    [hit] = json.loads(run(*asked, "--format", "json", "--other-instruction", "Find recipes").out)["hits"]
    explained = hit["explanation"]
    assert (
        "".join(explained["document"][each["start"] : each["end"]] for each in explained["sentences"]) == text.strip()
    )
    assert [each["instruction"] for each in explained["other_instructions"]] == ["Find recipes"]
    for option, words in (("--files", "--files gives none"), ("--no-rerank", "leave --no-rerank out")):
        refused = run(*asked, option)
        assert (refused.code, words in refused.err) == (2, True)


def test_an_index_at_a_url_is_used_by_every_command(run: Run, notes: Path) -> None:
    address = ("--index", f"lancedb://{notes.parent / 'lance'}")
    assert "2 added" in run("index", "add", "notes", *address).err
    (notes / "new.md").write_text("a branch of rice", encoding="utf-8")
    assert "1 added" in run("index", "update", *address).err
    found = run("search", "rice", "--no-rerank", "--files", *address).out.splitlines()
    assert set(found) == {str(notes / "rice.md"), str(notes / "new.md")}
    assert json.loads(run("index", "status", "--format", "json", *address).out)["index"] == address[1]
    assert run("index", "remove", "notes", *address).out == "notes: removed 3 files from the index\n"


def test_a_budget_too_short_to_judge_still_answers(run: Run, model: str) -> None:
    run("index", "add", "notes")
    outcome = run("search", "commit", "--budget", "1ms", "--model", model, "--format", "json")
    [hit] = json.loads(outcome.out)["hits"]
    assert hit["stage"] == "first stage"


def test_status_counts_and_remove_forgets(run: Run, notes: Path) -> None:
    run("index", "add", "notes", "--name", "mine")
    (notes / "rice.md").unlink()
    [held] = json.loads(run("index", "status", "--format", "json").out)["collections"]
    assert (held["name"], held["folder"], held["files"], held["changed"]) == ("mine", str(notes), 2, 1)
    assert "1 changed" in run("index", "status", "--format", "table").out
    assert run("index", "remove", "mine").out == "mine: removed 2 files from the index\n"
    assert (notes / "git.md").exists()
    assert json.loads(run("index", "status", "--format", "json").out)["collections"] == []


def test_the_best_result_is_opened_at_its_line(run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "echo opened")
    run("index", "add", "notes")
    assert f"opened +1 {notes / 'git.md'}" in run("search", "commit", "--no-rerank", "--open", "--files").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("search", "q"), "nothing is indexed yet"),
        (("search", "q", "missing"), "missing: no such folder"),
        (("search", " ", "notes", "--no-rerank"), "query must not be blank"),
        (("search", "q", "notes", "--budget", "soon"), "--budget soon: expected a time above 0"),
        (("search", "q", "notes", "--where", "tag"), "--where tag: expected FIELD=VALUE"),
        (("search", "q", "notes", "--after", "monday", "--no-rerank"), "'monday' is no date"),
        (("index", "update", "nothing"), "no collection 'nothing'"),
        (("index", "remove", "nothing"), "no collection 'nothing'"),
        (("index", "add", "notes", "notes", "--name", "x"), "--name names one collection"),
        (("index", "watch", "--every", "0"), "--every must be more than 0"),
        (("index", "status", "--index", "s3://bucket/index"), "expected a folder, lancedb:///FOLDER"),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
