"""What programs read: every format parses back to the ranking that the library gives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from tests.cli.conftest import Outcome, Run

TOKENS = ["document_tokens", "kept_tokens", "query_tokens", "kept_query_tokens", "is_lower_bound"]
HOSTILE = ["tab\tand \\t", "line\nand \\n\r", "\x1b[31mred\x9b", "next\u2028line\x85", "\u202eright", "日本語 😀 é"]


@pytest.fixture
def hostile(notes: Path) -> list[str]:
    (notes / "hostile.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in HOSTILE), encoding="utf-8"
    )
    return ["rank", "which one?", "hostile.jsonl"]


def entries(outcome: Outcome, form: str) -> list[dict[str, object]]:
    assert outcome.code == 0, outcome.err
    if form == "json":
        whole = json.loads(outcome.out)
        assert list(whole) == ["query", "instruction", "model", "results", "usage"]
        results: list[dict[str, object]] = whole["results"]
        return results
    if form == "jsonl":
        # splitlines is the harshest reader: it breaks at U+2028 and U+0085 as well.
        return [json.loads(line) for line in outcome.out.splitlines()]
    header, *rows = (line.split("\t") for line in outcome.out.splitlines())
    return [dict(zip(header, map(unescaped, row), strict=True)) for row in rows]


def unescaped(cell: str) -> str:
    return cell.encode("latin-1", "backslashreplace").decode("unicode_escape")


@pytest.mark.parametrize("form", ["json", "jsonl", "tsv"])
def test_a_format_holds_the_ranking_of_the_library(run: Run, model: str, hostile: list[str], form: str) -> None:
    found = entries(run(*hostile, "--model", model, "--format", form), form)
    with Reranker(model) as reranker:
        ranking = reranker.rank("which one?", HOSTILE)
    assert len(found) == len(ranking)
    for rank, (entry, hit) in enumerate(zip(found, ranking, strict=True), start=1):
        assert int(str(entry["rank"])) == rank
        assert int(str(entry["index"])) == hit.index
        assert float(str(entry["logit"])) == pytest.approx(hit.logit, rel=1e-6)
        assert float(str(entry["probability"])) == pytest.approx(hit.probability, rel=1e-6)
        assert entry["document"] == hit.document
        assert entry["source"] == f"hostile.jsonl:{hit.index + 1}"


@pytest.mark.parametrize("form", ["json", "jsonl", "tsv", "table"])
def test_no_control_character_reaches_a_reader(run: Run, model: str, hostile: list[str], form: str) -> None:
    shown = run(*hostile, "--model", model, "--format", form).out
    allowed = {"\n", "\t"} if form == "tsv" else {"\n"}
    assert {letter for letter in shown if not letter.isprintable()} <= allowed


@pytest.mark.usefixtures("notes")
def test_a_pipe_gets_json_lines_with_what_was_read_and_kept(run: Run, model: str) -> None:
    outcome = run("rank", "q", "notes.txt", "--model", model)
    assert [list(hit) for hit in outcome.hits] == [
        ["rank", "index", "logit", "probability", "document", "source", *TOKENS]
    ] * 3
    assert all(hit["document_tokens"] == hit["kept_tokens"] for hit in outcome.hits)
    assert all(hit["query_tokens"] == hit["kept_query_tokens"] for hit in outcome.hits)
    assert outcome.err == ""


@pytest.mark.usefixtures("notes")
def test_top_k_keeps_the_best_and_the_query_may_come_from_a_file(run: Run, model: str, notes: Path) -> None:
    (notes / "query.txt").write_text("\ufeffwhich?\n", encoding="utf-8")
    every = run("rank", "which?", "notes.txt", "--model", model)
    best = run("rank", "--query-file", "query.txt", "notes.txt", "--model", model, "--top-k", "2")
    assert best.hits == every.hits[:2]


@pytest.mark.usefixtures("notes")
def test_an_instruction_changes_the_scores_and_is_reported(run: Run, model: str) -> None:
    default = json.loads(run("rank", "q", "notes.txt", "--model", model, "--format", "json").out)
    asked = run("rank", "q", "notes.txt", "--model", model, "--format", "json", "--instruction", "Be strict")
    assert default["instruction"].startswith("Given a web search query")
    assert json.loads(asked.out)["instruction"] == "Be strict"
    assert json.loads(asked.out)["results"][0]["logit"] != default["results"][0]["logit"]


def test_a_document_that_was_cut_says_so_in_its_line_and_in_a_note(run: Run, model: str, notes: Path) -> None:
    (notes / "long.txt").write_text("short\n" + "long " * 200 + "\n", encoding="utf-8")
    outcome = run("rank", "q", "long.txt", "--model", model, "--max-length", "450")
    cut = {hit["source"]: hit["kept_tokens"] != hit["document_tokens"] for hit in outcome.hits}
    assert cut == {"long.txt:1": False, "long.txt:2": True}
    assert outcome.err == (
        "note: 1 of 2 documents cut to fit 450 tokens; --max-length allows up to 40,960 or "
        "--chunk ranks all of it in passages\n"
    )


def test_a_longer_row_is_suggested_only_where_the_model_allows_one(run: Run, model: str, notes: Path) -> None:
    (notes / "long.txt").write_text("long " * 9000 + "\n", encoding="utf-8")
    longest = ("rank", "q", "long.txt", "--model", model, "--max-length", "40960", "--explain-plan")
    cut = "note: 1 of 1 documents cut to fit 40,960 tokens; "
    assert run(*longest).err == f"{cut}--chunk ranks all of it in passages\n"
    assert "--chunk-words makes them shorter" in run(*longest, "--chunk-words", "9000").err


@pytest.mark.parametrize("form", ["json", "jsonl", "tsv", "table"])
def test_a_query_that_was_cut_is_in_every_output_and_in_a_note(run: Run, model: str, notes: Path, form: str) -> None:
    (notes / "query.txt").write_text("q" * 900, encoding="utf-8")
    command = ("rank", "--query-file", "query.txt", "notes.txt", "--model", model, "--max-length", "500")
    outcome = run(*command, "--truncate-queries", "--format", form)
    told = re.search(r"the query was cut to the first (\d+) of its (\d+) tokens, to fit 500 with", outcome.err)
    assert told
    kept, whole = map(int, told.groups())
    assert 0 < kept < 500 < whole
    if form == "table":
        assert f"query cut to {kept} of its {whole} tokens" in outcome.out
        assert "none cut" not in outcome.out
    else:
        for entry in entries(outcome, form):
            assert (int(str(entry["kept_query_tokens"])), int(str(entry["query_tokens"]))) == (kept, whole)


@pytest.mark.usefixtures("notes")
def test_explain_plan_tells_of_a_query_and_of_documents_that_would_be_cut(run: Run, model: str) -> None:
    command = ("rank", "q" * 900, "notes.txt", "--model", model, "--max-length", "450", "--truncate-queries")
    assert "note: the query was cut" in run(*command, "--explain-plan").err


@pytest.mark.usefixtures("notes")
def test_options_of_the_engine_reach_it(run: Run, model: str) -> None:
    fast = run("rank", "q", "notes.txt", "--model", model, "--max-batch-tokens", "16")
    exact = run("rank", "q", "notes.txt", "--model", model, "--backend", "reference", "--precision", "float64")
    assert [hit["logit"] for hit in fast.hits] == pytest.approx([hit["logit"] for hit in exact.hits], abs=1e-4)
    other = run("rank", "q", "notes.txt", "--model", model, "--prompt", "card-vllm")
    assert [hit["logit"] for hit in other.hits] != pytest.approx([hit["logit"] for hit in exact.hits], abs=1e-4)


@pytest.mark.usefixtures("notes")
def test_explain_plan_prints_the_tree_and_ranks_nothing(run: Run, model: str) -> None:
    refused = run("rank", "q", "notes.txt", "--model", model, "--explain-plan", "--format", "json")
    assert refused.code == 2
    assert "--explain-plan prints an outline" in refused.err
    outcome = run("rank", "q", "notes.txt", "--model", model, "--explain-plan")
    with Reranker(model) as reranker:
        tree = reranker.tree("q", ["first note", "second note", "third note"])
    assert outcome.out == f"{tree}\n"
    assert "saved" in outcome.out


def test_a_screened_ranking_is_the_exact_one_and_says_what_was_rechecked(run: Run, model: str, notes: Path) -> None:
    (notes / "many.txt").write_text("".join(f"note {number} of many\n" for number in range(40)), encoding="utf-8")
    command = ["rank", "which note?", "many.txt", "--model", model, "-k", "3"]
    exact = json.loads(run(*command, "--format", "json").out)
    outcome = run(*command, "--format", "json", "--screen", "int8")
    found = json.loads(outcome.out)
    assert found["results"] == exact["results"]
    screening = found["screening"]
    assert (screening["precision"], screening["confidence"], screening["screened"]) == ("int8", 0.999, 40)
    assert 10 <= screening["rechecked"] <= 40
    assert f"screened in int8: {screening['rechecked']} of 40 documents rechecked in float32" in outcome.err
    table = run(*command, "--format", "table", "--screen", "int8").out
    assert f"rechecked {screening['rechecked']} of 40" in " ".join(table.split())


def test_a_cascade_says_in_every_format_which_model_judged(run: Run, model: str, notes: Path) -> None:
    (notes / "many.txt").write_text("".join(f"note {number} of many\n" for number in range(40)), encoding="utf-8")
    command = ["rank", "which note?", "many.txt", "--model", model, "-k", "3", "--then", "nano", "--band", "8"]
    outcome = run(*command, "--format", "json")
    found = json.loads(outcome.out)
    band = [hit["index"] for hit in run("rank", "which note?", "many.txt", "--model", model, "-k", "8").hits]
    alone = [hit for hit in run("rank", "which note?", "many.txt").hits if hit["index"] in band][:3]
    assert [(hit["index"], pytest.approx(hit["logit"], abs=1e-4)) for hit in found["results"]] == [
        (hit["index"], hit["logit"]) for hit in alone
    ]
    assert (found["model"], found["then"], {hit["judged_by"] for hit in found["results"]}) == (model, "nano", {"nano"})
    cascade = found["cascade"]
    assert (cascade["band"], cascade["first_judged"], cascade["then_judged"]) == (8, 40, 8)
    assert cascade["then_usage"]["prompt_tokens"] < cascade["first_usage"]["prompt_tokens"]
    assert f"{model} scored 40 of 40 documents, and nano 8" in outcome.err
    assert {hit["judged_by"] for hit in run(*command, "--format", "jsonl").hits} == {"nano"}
    head, *rows = run(*command, "--format", "tsv").out.splitlines()
    assert head.endswith("\tid\tjudged_by")
    assert all(row.endswith("\tnano") for row in rows)
    assert run(*command, "--format", "trec").out.split()[5].endswith("+nano")
    assert "8 of 40 scored by nano" in " ".join(run(*command, "--format", "table").out.split())
