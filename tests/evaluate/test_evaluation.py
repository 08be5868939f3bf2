"""An evaluation that is stopped goes on where it stopped, and ends with the numbers of one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate import (
    Candidate,
    FirstStage,
    LabelledSet,
    Measure,
    Summary,
    as_json,
    bm25,
    compared,
    evaluate,
    markdown,
    narrowed,
    page,
    write_run,
)
from qwen3_reranker.evaluate.judging import belonging, judge, model_facts, model_fingerprint
from qwen3_reranker.evaluate.logits_file import LogitsFile
from qwen3_reranker.evaluate.report import language_rows, set_rows
from qwen3_reranker.evaluate.tuning import held_out, tune

pytestmark = pytest.mark.slow

NANO = Candidate("nano", "nano")
MEASURES = (Measure("RR", 10), Measure("AP"))


@pytest.fixture
def stage(tasks: LabelledSet, tmp_path: Path) -> FirstStage:
    return bm25(tasks, 8, 0, tmp_path / "first")


@pytest.fixture
def summary(tasks: LabelledSet, stage: FirstStage, tmp_path: Path) -> Summary:
    return compared(evaluate([tasks], [stage], [NANO], tmp_path / "out", measures=MEASURES))


def test_systems_stand_in_order_and_the_model_s_numbers_are_those_of_rank(
    summary: Summary, tasks: LabelledSet, stage: FirstStage, nano: Reranker
) -> None:
    assert [system.label for system in summary.systems] == ["BM25", "nano", "nano + BM25", "oracle"]
    [ndcg] = [scores[Measure("nDCG", 10)] for scores in summary.systems[1].scores]
    for query, value in zip(ndcg.queries, ndcg.values_Q, strict=True):
        listed = list(stage.run[query])
        hits = nano.rank(tasks.queries[query], [tasks.documents[document] for document in listed])
        ranks = [rank for rank, hit in enumerate(hits, start=1) if tasks.qrels[query].get(listed[hit.index])]
        assert value == pytest.approx(sum(1 / np.log2(rank + 1) for rank in ranks))


def test_languages_stand_in_rows_with_the_means_of_their_sets(
    tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    sets = [replace(tasks, name=name, language=name[:2]) for name in ("de", "en", "en-too")]
    found = compared(evaluate(sets, [stage] * 3, [NANO], tmp_path / "out"))
    languages = language_rows(found)
    german, english = ([str(cell) for cell in row] for row in languages.rows)
    assert languages.heads == ["language", "sets", "queries", "1", "2", "3", "4", "2 minus 1", "3 minus 1"]
    assert (german[:2], english[:2]) == (["de", "1"], ["en", "2"])
    means = [[str(cell).rstrip("*") for cell in row[3:7]] for row in (german, english, set_rows(found).rows[0])]
    assert means[0] == means[1] == means[2], "the sets are alike, so their means are"
    gain = found.mean(found.systems[1]) - found.mean(found.systems[0])
    assert float(german[7].split()[0]) == pytest.approx(gain, abs=0.0006)
    assert language_rows(compared(evaluate(sets[:1], [stage], [NANO], tmp_path / "out"))).rows == []
    assert "## Languages" in markdown(found)
    assert "Languages" in page(found)


def test_reranking_nothing_is_the_first_stage_and_all_of_it_the_model(summary: Summary) -> None:
    first, model = summary.systems[:2]
    assert list(model.depth_curve) == [1, 2, 5, 8]
    assert model.depth_curve[1] == pytest.approx(summary.mean(first))
    assert model.depth_curve[8] == pytest.approx(summary.mean(model))


def test_a_tie_across_the_depth_is_not_reranked_as_ids_must_not_choose(tasks: LabelledSet, tmp_path: Path) -> None:
    """A first stage in which everything is tied has no first documents, whatever they are called."""
    level = FirstStage("level", 6, {query: dict.fromkeys(list(tasks.documents)[:6], 1.0) for query in tasks.qrels}, "")
    first, model, *_ = evaluate([tasks], [level], [NANO], tmp_path / "out").systems
    values = list(model.depth_curve.values())
    expected = first.scores[0][Measure("nDCG", 10)].mean
    assert values[:-1] == pytest.approx([expected] * (len(values) - 1))
    assert values[-1] != pytest.approx(expected), "at its full depth, all is reranked"


def test_a_stopped_evaluation_goes_on_where_it_stopped(
    tasks: LabelledSet, stage: FirstStage, nano: Reranker, tmp_path: Path
) -> None:
    def of(folder: str) -> LogitsFile:
        return LogitsFile(tmp_path / folder, "nano", belonging(model_facts(nano), tasks, stage, None))

    with of("whole") as file:
        whole, _ = judge(nano, tasks, stage, None, file)

    def stop_in_the_middle(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with of("stopped") as file, pytest.raises(KeyboardInterrupt):
        judge(nano, tasks, stage, None, file, stop_in_the_middle)
    done = file.path.read_bytes().count(b"\n") - 1
    assert 0 < done < len(tasks.qrels)
    # A line that was not finished, as a power cut leaves it.
    with file.path.open("ab") as half:
        half.write(b'{"query": "q9", "docu')
    with of("stopped") as again:
        assert len(again.judged) == done
        run, cost = judge(nano, tasks, stage, None, again)
    assert run == whole
    assert cost.pairs == sum(map(len, stage.run.values()))
    assert again.path.read_bytes().count(b"\n") - 1 == len(tasks.qrels)


def test_a_query_that_was_cut_is_counted_also_when_its_judgement_was_kept(
    tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    with Reranker("nano", max_length=128, truncate_queries=True) as short:
        asked = replace(tasks, queries={**tasks.queries, "q0": "undo the last commit " * 40})
        about = belonging(model_facts(short), asked, stage, None)
        for _ in range(2):
            with LogitsFile(tmp_path, "nano", about) as file:
                _, cost = judge(short, asked, stage, None, file)
            assert cost.truncated_queries == 1


def test_a_finished_evaluation_judges_nothing_anew(tasks: LabelledSet, stage: FirstStage, tmp_path: Path) -> None:
    evaluate([tasks], [stage], [NANO], tmp_path / "out")
    [path] = (tmp_path / "out" / "tasks").iterdir()
    before = path.read_bytes()
    evaluate([tasks], [stage], [NANO], tmp_path / "out")
    assert path.read_bytes() == before


def test_the_file_says_what_it_belongs_to_and_another_setting_is_another_file(
    tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    others = [
        Candidate("b", "nano", "Find the command"),
        Candidate("c", "nano", None, {"prompt": "card-vllm"}),
        Candidate("d", "nano", None, {"precision": "int8"}),
    ]
    few = tasks.drawn(2, 0)
    evaluate([few], [bm25(few, 8, 0, tmp_path / "first")], [NANO, *others], tmp_path / "out")
    headers = [
        json.loads(path.read_text(encoding="utf-8").splitlines()[0]) for path in (tmp_path / "out/tasks").iterdir()
    ]
    assert len(headers) == 4
    assert len({header["model_fingerprint"] for header in headers}) == 1
    assert {header["first_stage_sha256"] for header in headers} == {stage.sha256}
    varied = {(header["instruction"], header["prompt"], header["precision"]) for header in headers}
    assert varied == {
        (None, "card", "float32"),
        ("Find the command", "card", "float32"),
        (None, "card-vllm", "float32"),
        (None, "card", "int8"),
    }


def test_a_file_that_belongs_to_something_else_is_not_continued(tmp_path: Path) -> None:
    with LogitsFile(tmp_path, "m", {"model": "a"}) as file:
        pass
    file.path.write_text('{"format": 1, "model": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="belongs to another evaluation"):
        LogitsFile(tmp_path, "m", {"model": "a"})
    file.path.write_text('{"format": 1, "model": "a"}\n{"query": 1}\n', encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        LogitsFile(tmp_path, "m", {"model": "a"})


def test_another_model_has_another_fingerprint(nano: Reranker, small_reranker: Reranker) -> None:
    assert model_fingerprint(nano) == model_fingerprint(nano) != model_fingerprint(small_reranker)


def test_a_stored_run_is_compared_like_a_model_and_what_it_misses_is_zero_and_named(
    tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    run = {query: scores for query, scores in stage.run.items() if query not in ("q3", "q5")}
    write_run(tmp_path / "other.trec", run, "other")
    summary = compared(evaluate([tasks], [stage], [Candidate("other", str(tmp_path / "other.trec"))], tmp_path / "out"))
    assert summary.missing == {"other on tasks": ("q3", "q5")}
    other, first = (summary.headline(summary.systems[place], 0) for place in (1, 0))
    kept = [query not in ("q3", "q5") for query in first.queries]
    assert other.mean == pytest.approx((first.values_Q * kept).mean())
    assert "2 judged queries are missing and count as 0: q3, q5" in markdown(summary)


def test_the_report_holds_every_system_and_no_address_of_another_host(summary: Summary) -> None:
    text, html = markdown(summary), page(summary)
    for system in summary.systems:
        assert f"{summary.mean(system):.3f}" in text
        assert system.label in html
    assert html.count("<svg") == 3
    for outside in ("http:", "https:", "//", "<script", "@import", "url("):
        assert outside not in html
    fields = json.loads(json.dumps(as_json(summary)))
    assert fields["systems"][1]["cost"]["pairs"] == 12 * 8
    assert [each["baseline"] for each in fields["comparisons"]] == ["BM25", "BM25", "nano"]


def test_a_label_cannot_write_html(tasks: LabelledSet, stage: FirstStage, tmp_path: Path) -> None:
    few = tasks.drawn(2, 0)
    summary = evaluate([few], [bm25(few, 3, 0, tmp_path)], [Candidate("<b>&", "nano")], tmp_path / "out")
    html = page(compared(summary))
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html


def test_tuning_judges_the_winner_by_queries_that_did_not_choose_it(tmp_path: Path, tasks: LabelledSet) -> None:
    many = {f"q{number}": tasks.qrels[f"q{number % 12}"] for number in range(60)}
    queries = {query: f"{tasks.queries[f'q{int(query[1:]) % 12}']} {query}" for query in many}
    wide = LabelledSet("wide", many, queries, tasks.documents)
    stage = bm25(wide, 4, 0, tmp_path / "first")
    candidates = [NANO, Candidate("other", "nano", "Given a task, retrieve the command")]
    summary = evaluate([wide], [stage], candidates, tmp_path / "out")
    tuning = tune(summary)
    held = held_out([f"wide/{query}" for query in many], 0)
    assert (tuning.held_out_queries, tuning.choosing_queries) == (held.sum(), 60 - held.sum())
    values = {each.label: summary.headline(each, 0).values_Q for each in summary.systems}
    for tried in tuning.tried:
        assert tried.held_out == pytest.approx(values[tried.label][held].mean())
        assert tried.chosen_on == pytest.approx(values[tried.label][~held].mean())
    assert tuning.winner.chosen_on == max(tried.chosen_on for tried in tuning.tried)
    assert tuning.baseline == "nano"
    assert [each.label for each in narrowed(summary, {"other"}).systems] == ["BM25", "other", "other + BM25", "oracle"]


def test_tuning_refuses_too_few_queries(tasks: LabelledSet, stage: FirstStage, tmp_path: Path) -> None:
    summary = evaluate([tasks], [stage], [NANO, Candidate("b", "nano", "Judge")], tmp_path / "out")
    with pytest.raises(InputError, match="12 labelled queries are too few"):
        tune(summary)


def test_a_blank_query_is_named_before_anything_is_judged(
    nano: Reranker, tasks: LabelledSet, stage: FirstStage, tmp_path: Path
) -> None:
    blank = replace(tasks, queries={**tasks.queries, "q3": " \n"})
    with LogitsFile(tmp_path, "nano", belonging(model_facts(nano), blank, stage, None)) as file:
        with pytest.raises(InputError, match="tasks: the text of query q3 must not be blank; take the query out"):
            judge(nano, blank, stage, None, file)
        assert not file.judged
