"""`evaluate` says whether reranking helps, to people and programs, goes on after Ctrl-C, and refuses in one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.evaluate import write_run
from qwen3_reranker.evaluate.suites import SUITE_NAMES
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run
from tests.cli.terminal import on_terminal
from tests.evaluate.conftest import write_lines, write_set
from tests.test_readme import same


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_set(tmp_path / "tasks")


@pytest.mark.usefixtures("folder")
def test_json_holds_first_stage_model_fusion_and_oracle_and_reports_are_written(run: Run) -> None:
    outcome = run("evaluate", "nano", "--on", "tasks", "--depth", "5", "--format", "json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert [each["kind"] for each in found["systems"]] == ["first stage", "model", "fusion", "oracle"]
    assert found["systems"][1]["settings"]["prompt"] == "card"
    assert {path.name for path in Path("evaluation").glob("report.*")} == {"report.md", "report.html", "report.json"}
    assert outcome.err == "note: report written to evaluation/report.html, .md and .json\n"


@pytest.mark.usefixtures("folder")
def test_a_run_of_another_reranker_stands_beside_and_no_model_measures_the_lists_alone(run: Run) -> None:
    write_run(Path("other.trec"), {f"q{number}": {f"d{number}": 1.0} for number in range(12)}, "other")
    outcome = run("evaluate", "other.trec", "--on", "tasks", "--depth", "5", "--format", "json", "-o", "out")
    labels = {each["label"]: each["mean"] for each in json.loads(outcome.out)["systems"]}
    assert labels["other.trec"] == 1.0
    Path("qrels.txt").write_text("".join(f"q{n} 0 d{n} 1\n" for n in range(12)), encoding="utf-8")
    arguments = ("--on", "qrels.txt", "--first-stage", "other.trec", "--format", "json", "-o", "out")
    alone = json.loads(run("evaluate", *arguments).out)
    assert [each["label"] for each in alone["systems"]] == ["other.trec", "oracle"]
    assert alone["systems"][0]["mean"] == 1.0


@pytest.mark.usefixtures("folder")
def test_a_cascade_is_judged_beside_both_of_its_models_and_the_band_is_chosen(run: Run, model: str) -> None:
    arguments = ("evaluate", model, "--then", "nano", "--band", "2,5,4", "--on", "tasks", "--depth", "5")
    outcome = run(*arguments, "--format", "json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert [each["kind"] for each in found["systems"]].count("cascade") == 3
    [curve] = found["cascades"]
    assert (curve["then"], curve["margin"], [each["band"] for each in curve["bands"]]) == ("nano", 0.01, [2, 4, 5])
    assert curve["chosen_band"] is not None
    table = " ".join(run(*arguments, "--format", "table").out.split())
    assert f"{curve['chosen_band']} is the smallest band that is shown" in table
    assert "Quality and time of cascades" in table


@pytest.mark.usefixtures("folder")
def test_what_gives_no_cascade_is_refused(run: Run, model: str) -> None:
    for arguments, words in [
        (["nano", "--then", "nano"], "--then needs two models"),
        (["--then", "nano"], "--then needs two models"),
        ([model, "--then", "nano", "--band", "ten"], "--band must be numbers of documents such as 10,20,50, got 'ten'"),
        ([model, "--then", "nano", "--band", "0"], "--band must be numbers of documents"),
        ([model, "--then", "nano", "--precision", "int8", "--precision", "float32"], "needs one instruction, one prec"),
        ([model, "--band", "5"], "--band and --margin are of cascades: they need --then"),
        ([model, "--margin", "0.1"], "--band and --margin are of cascades: they need --then"),
        ([model, "--then", "nano", "--margin", "-1"], "--margin must be at least 0, got -1"),
    ]:
        outcome = run("evaluate", *arguments, "--on", "tasks")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert words in outcome.err


@pytest.mark.usefixtures("folder")
def test_a_search_is_measured_with_its_time_beside_quality(run: Run) -> None:
    arguments = ("evaluate", "nano", "--on", "tasks", "--first-stage", "index", "--queries", "3", "-o", "out")
    first, model, *_ = json.loads(run(*arguments, "--format", "json").out)["systems"]
    assert (first["label"], model["label"]) == ("index (BM25)", "nano")
    assert 0 < first["latency"]["p50"] <= first["latency"]["p95"]
    assert 0 < model["latency"]["p50"] <= model["latency"]["p95"]
    assert all("p50, ms" in (Path("out") / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))


@pytest.mark.usefixtures("folder")
def test_every_model_precision_prompt_and_instruction_is_a_system_named_by_what_differs(run: Run) -> None:
    outcome = run(
        *("evaluate", "nano", "--on", "tasks", "--depth", "3", "--queries", "2", "--format", "json", "-o", "out"),
        *("--precision", "float32", "--precision", "int8", "--instruction", "data", "--instruction", "Find it"),
    )
    labels = [each["label"] for each in json.loads(outcome.out)["systems"] if each["kind"] == "model"]
    own = "the data's instruction"
    assert labels == [
        f"nano, float32, {own}",
        'nano, float32, "Find it"',
        f"nano, int8, {own}",
        'nano, int8, "Find it"',
    ]


@pytest.mark.usefixtures("folder")
def test_all_relevant_documents_can_be_added_to_the_lists(run: Run) -> None:
    arguments = ("evaluate", "--on", "tasks", "--depth", "1", "--format", "json", "-o", "out")
    ceilings = [json.loads(run(*arguments, *more).out)["systems"][-1]["mean"] for more in ((), ("--with-positives",))]
    assert ceilings[0] < ceilings[1] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 140])
def test_the_tables_fit_the_terminal(folder: Path, columns: int) -> None:
    write_set(folder.parent / "all" / "one")
    write_set(folder.parent / "all" / "another-set-whose-name-is-long-enough-to-be-cut")
    arguments = ["evaluate", "nano", "--on", "all", "--depth", "4", "--queries", "6"]
    shown = on_terminal(["-m", "qwen3_reranker", *arguments], columns=columns)
    plain = "".join(part.split("m", 1)[-1] if place else part for place, part in enumerate(shown.split("\x1b[")))
    assert max(map(len, plain.split("\n"))) <= columns
    for words in ("BM25", "nano", "nano + BM25", "oracle", "nDCG@10", "Sets", "Differences", "better than|not shown"):
        assert any(each in plain.replace("\n", " ") for each in words.split("|")), words


@pytest.mark.slow
def test_ctrl_c_is_one_word_and_the_same_command_goes_on(folder: Path) -> None:
    text = "a word of many " * 30
    lines = ({"query": f"question {n}", "positive": f"{text} {n}", "negative": [f"{text} not {n}"]} for n in range(150))
    write_lines(folder.parent / "long.jsonl", lines)
    command = [sys.executable, "-m", "qwen3_reranker", "evaluate", "nano", "--on", "long.jsonl"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent)

    def kept() -> list[bytes]:
        return [
            line for path in folder.parent.glob("evaluation/long/*.jsonl") for line in path.read_bytes().split(b"\n")
        ]

    while len(kept()) < 5:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    before = kept()[:-1]
    assert 4 <= len(before) < 151
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder.parent)
    assert done.returncode == 0
    assert len(kept()) == 152
    assert kept()[: len(before)] == before, "what was judged is not judged again"


def test_the_help_names_every_suite_and_measure(run: Run) -> None:
    from qwen3_reranker.evaluate.measures import KINDS

    page = run("evaluate", "--help").out
    for name in (*SUITE_NAMES, *KINDS):
        assert name in page or name == "p-MRR"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nano"], "nothing to evaluate on"),
        (["nano", "--on", "nowhere"], "nowhere: no such file or folder, and no suite of that name"),
        (["nano", "--on", "tasks", "--measures", "BLEU"], "unknown measure 'BLEU': expected one of nDCG"),
        (["nano", "--on", "tasks", "--measures", "p-MRR"], "p-MRR needs documents whose relevance changed"),
        (["nano", "--on", "tasks", "--depth", "0"], "--depth must be at least 1"),
        (["nano", "--on", "tasks", "--queries", "-1"], "--queries must be at least 1"),
        (["nano", "--on", "tasks", "--precision", "int3"], "unknown --precision 'int3'"),
        (["nano", "--on", "tasks", "--prompt", "poem"], "unknown --prompt 'poem'"),
        (["nano", "--on", "tasks", "--first-stage", "my.trec"], "my.trec: no such file"),
        (["my.trec", "--on", "tasks", "--precision", "int8"], "--precision is for a model, and only stored runs are"),
        (["nano", "--on", "tasks", "--first-stage", "data"], "the data hold no lists"),
        (["nano", "--on", "tasks", "--embedder", "model"], "--embedder needs --first-stage index"),
        (["nope", "--on", "tasks"], "no model 'nope'"),
        (["nano", "--on", "tasks", "--on", "tasks/../tasks"], "two sets are named 'tasks'"),
        (["nano", "--on", "tasks", "--tune-instruction"], "too few to choose an instruction"),
        (["--on", "tasks", "--tune-instruction"], "--tune-instruction needs one model"),
        (["nano", "--on", "tasks", "--format", "xml"], "unknown --format 'xml'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    outcome = run("evaluate", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


@pytest.mark.slow
def test_the_example_of_the_page_prints_what_the_page_shows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    [shown] = re.findall(
        r"^```console\n(.*?)^```$", (root / "docs/evaluate.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "100")
    outcome = run("evaluate", "nano", "--on", "examples/questions", "--format", "table", "-o", str(tmp_path / "out"))
    assert same(shown.strip(), outcome.out.strip()), outcome.out


def test_lists_without_an_order_are_called_that_and_nothing_is_better_than_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(
        Path("lines.jsonl"),
        [
            {
                "query": f"word{number}",
                "positive": f"about word{number}",
                "negative": [f"about word{number + n}" for n in (1, 2)],
            }
            for number in range(12)
        ],
    )
    forms = ("table", "markdown", "json")
    outcomes = [run("evaluate", "nano", "--on", "lines.jsonl", "--format", form) for form in forms]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    reports = [Path(f"evaluation/report.{ending}").read_text("utf-8") for ending in ("md", "html", "json")]
    texts = [*(outcome.out for outcome in outcomes), *reports]
    for text in texts:
        assert "random order" in text
        for claim in ("lists of the data", "nano is better", "is not shown", "nano + ", "2 minus 1", "Differences"):
            assert claim not in text
    found = json.loads(reports[-1])
    assert [each["kind"] for each in found["systems"]] == ["random order", "model", "oracle"]
    assert found["comparisons"] == []
    assert found["systems"][0]["mean"] == pytest.approx((1 + 1 / np.log2(3) + 0.5) / 3), "the mean over all orders"
    refused = run("evaluate", "nano", "--on", "lines.jsonl", "--depth", "2")
    assert refused.code == 2
    assert "have no order" in refused.err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("arguments", [["nosuch"], ["nano", "nosuch.trec"], ["nano", "--first-stage", "nosuch.trec"]])
def test_a_name_that_is_nobody_s_is_told_before_lists_are_made(run: Run, arguments: list[str]) -> None:
    outcome = run("evaluate", *arguments, "--on", "tasks")
    assert outcome.code == 2
    assert "nosuch" in outcome.err
    assert not Path("evaluation").exists()


def test_a_file_without_queries_is_named_by_its_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    outcome = run("evaluate", "--on", str(tmp_path / "empty.txt"))
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {tmp_path / 'empty.txt'}: no query has judgements")


def test_models_are_compared_with_one_another_on_lists_without_an_order(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(
        Path("lines.jsonl"),
        [{"query": f"word{n}", "positive": f"about word{n}", "negative": f"about word{n + 1}"} for n in range(12)],
    )
    arguments = ("--on", "lines.jsonl", "--precision", "float32", "--precision", "int8")
    found = run("evaluate", "nano", *arguments, "--format", "markdown").out
    assert "nano, int8 is not shown to differ from nano, float32" in found
    assert "## Differences" in found
