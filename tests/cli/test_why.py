"""`rank --why` shows the sentence that carries each score, and JSON all of them with their places."""

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal

GIT = (
    "# Undo\n\nGit keeps every version of the files. To take back the last commit, run git reset --soft HEAD~1. "
    "日本語の文がここにある。\x1b[2J Mercurial is another tool for that.\n"
)


@pytest.fixture
def pages(notes: Path) -> Path:
    """The folder in which commands run, with two pages of several sentences and one."""
    (notes / "git.md").write_text(GIT, encoding="utf-8")
    (notes / "rice.md").write_text("Simmer the rice with the lid on.", encoding="utf-8")
    return notes


@pytest.mark.usefixtures("pages")
def test_json_lines_have_each_sentence_with_its_place_and_its_contribution(run: Run) -> None:
    outcome = run("rank", "take back my last commit", "git.md", "rice.md", "--why", "--format", "jsonl")
    assert (outcome.code, outcome.err) == (0, "")
    first, second = outcome.hits
    text = str(first["document"])
    sentences = first["sentences"]
    assert isinstance(sentences, list)
    assert "".join(text[each["start"] : each["end"]] for each in sentences) == text
    for number in ("contribution", "alone"):
        assert "git reset" in max(sentences, key=lambda each, name=number: each[name])["text"]
    for each in sentences:
        assert each["contribution"] == pytest.approx(first["logit"] - each["logit_without"], abs=1e-5)
    assert len(second["sentences"]) == 1  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("columns", [40, 100])
def test_the_table_has_a_line_below_each_document_that_fits_the_terminal(columns: int) -> None:
    command = ["-m", "qwen3_reranker", "rank", "take back my last commit", "git.md", "rice.md", "--why"]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(command, columns=columns)).split("\n")
    assert max(map(cell_len, lines)) <= columns
    assert re.match(r"   alone \+\d\.\d\d  To take back the last", lines[2])
    assert "one sentence" in lines[4]
    assert "sentences scored alone and left out" in " ".join(line.strip() for line in lines)


@pytest.mark.usefixtures("pages")
def test_other_instructions_are_explained_below_and_leaving_out_can_be_left_out(run: Run) -> None:
    asked = ("rank", "take back my last commit", "git.md", "--why", "--other-instruction", "Find tools")
    table = run(*asked, "--other-instruction", "Find recipes", "--no-leave-out", "--format", "table").out
    lines = table.split("\n")
    assert "alone" in lines[2]
    assert 'if asked "Find tools": ' in lines[3]
    assert 'if asked "Find recipes": ' in lines[4]
    assert "sentences scored alone, under 3 instructions" in " ".join(line.strip() for line in lines)
    [hit] = run(*asked, "--format", "jsonl").hits
    [other] = hit["other_instructions"]  # type: ignore[misc]
    assert other["instruction"] == "Find tools"
    assert other["logit"] != hit["logit"]
    assert [each["text"] for each in other["sentences"]] == [each["text"] for each in hit["sentences"]]
    [quick] = run(*asked[:4], "--no-leave-out", "--format", "jsonl").hits
    assert {each["contribution"] for each in quick["sentences"]} == {None}
    refused = run(*asked[:3], "--no-leave-out")
    assert (refused.code, "--no-leave-out has a meaning with --why alone" in refused.err) == (2, True)


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize(
    ("option", "named"),
    [(["--format", "tsv"], "--format tsv"), (["--format", "trec"], "--format trec"), (["--dry-run"], "--dry-run")],
)
def test_what_has_no_place_for_sentences_is_refused(run: Run, option: list[str], named: str) -> None:
    refused = run("rank", "query", "git.md", "--why", *option)
    assert refused.code == 2
    assert "--why needs a table, json or jsonl" in refused.err
    assert named in refused.err
