"""`rank --fold`, `--diversity` and `--fit` show a set for a prompt, and say what became of the others."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

LINES = (
    "git reset --soft HEAD~1 undoes the last commit and keeps the changes.\n"
    "git reset --soft HEAD~1 undoes the last commit, and keeps the changes!\n"
    "Undo the last commit with git revert HEAD.\n"
    "東京は日本の首都です。\n"
    "Simmer the rice for twelve minutes.\n"
)
RANK = ("rank", "take back my last commit", "lines.txt")


@pytest.fixture(autouse=True)
def _lines(notes: Path) -> None:
    (notes / "lines.txt").write_text(LINES, encoding="utf-8")


def test_json_has_the_set_with_ranks_and_duplicates_and_names_what_was_left_out(run: Run) -> None:
    plain = run(*RANK, "--format", "jsonl").hits
    outcome = run(*RANK, "--format", "json", "--fold", "0.8", "--fit", "40")
    found = json.loads(outcome.out)
    chosen, selection = found["results"], found["selection"]
    tokens = {hit["index"]: hit["document_tokens"] for hit in plain}
    assert selection["tokens"] == sum(tokens[hit["index"]] for hit in chosen) <= 40
    assert sorted([hit["duplicates"] for hit in chosen]) in ([[], [], [0]], [[], [], [1]])
    assert all(plain[hit["rank"] - 1]["logit"] == hit["logit"] for hit in chosen)
    duplicates = [index for hit in chosen for index in hit["duplicates"]]
    everything = [hit["index"] for hit in chosen] + duplicates + selection["left_out"] + selection["too_long"]
    assert sorted(everything) == [0, 1, 2, 3, 4]
    assert outcome.err.startswith(f"note: selected {len(chosen)} documents of {selection['tokens']} tokens, 1 folded")


def test_top_k_counts_the_selected_and_not_what_they_were_selected_from(run: Run) -> None:
    assert len(run(*RANK, "--format", "jsonl", "--fold", "0.8", "-k", "3").hits) == 3


def test_after_a_second_model_the_set_is_chosen_from_all_that_it_scored(run: Run, model: str) -> None:
    outcome = run(*RANK, "--format", "json", "--fold", "0.8", "-k", "2", "--then", model, "--band", "4")
    found = json.loads(outcome.out)
    assert len(found["results"]) == 2
    assert len(found["selection"]["left_out"]) + found["selection"]["folded"] == 2


def test_a_smaller_probability_is_left_out_before_the_selection(run: Run) -> None:
    hits = run(*RANK, "--format", "jsonl", "--fit", "1000", "--min-probability", "0.5").hits
    assert hits
    assert all(hit["probability"] >= 0.5 for hit in hits)  # type: ignore[operator]


def test_a_budget_in_which_nothing_fits_gives_nothing_and_says_so(run: Run) -> None:
    outcome = run(*RANK, "--format", "jsonl", "--fit", "1")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "note: selected 0 documents of 0 tokens, 5 longer than 1 token alone\n"
    table = run(*RANK, "--format", "table", "--fit", "1")
    footer = " ".join(table.out.split())
    assert footer.startswith("0 documents of 0 tokens selected from 5 · 5 longer than 1 token alone ")


def test_the_table_shows_all_that_fits_and_ranks_of_the_whole_ranking(run: Run, notes: Path) -> None:
    (notes / "lines.txt").write_text("".join(f"line {number}\n" for number in range(14)), encoding="utf-8")
    table = run(*RANK, "--format", "table", "--fit", "1000").out.split("\n")
    assert [line.split()[0] for line in table[1:15]] == [str(rank) for rank in range(1, 15)]


def test_tables_for_other_programs_have_the_duplicates_of_each_hit(run: Run) -> None:
    header, *rows = run(*RANK, "--format", "tsv", "--fold", "0.8").out.splitlines()
    assert header.split("\t")[-1] == "duplicates"
    assert sorted(row.split("\t")[-1] for row in rows) in (["", "", "", "0"], ["", "", "", "1"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--diversity", "0.3"], "say how many with -k, or how many tokens with --fit"),
        (["--diversity", "0.3", "-k", "2", "--format", "trec"], "a TREC run has no other"),
        (["--fold", "0.8", "--screen", "int8", "-k", "2"], "leave one of them out"),
        (["--fit", "9", "--dry-run"], "--dry-run ranks nothing, so --fit has no meaning"),
        (["--fit", "9", "-m", "http://localhost:1"], "http://localhost:1 does not say them"),
        (["--fold", "0"], "--fold must be above 0"),
        (["--diversity", "2", "-k", "1"], "--diversity must be at most 1"),
        (["--fit", "0"], "--fit must be at least 1"),
    ],
)
def test_what_cannot_be_selected_is_refused_in_one_line(run: Run, options: list[str], words: str) -> None:
    refused = run(*RANK, *options)
    assert refused.code == 2
    assert words in refused.err
    assert refused.err.count("\n") == 1
