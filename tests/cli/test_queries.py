"""`rank` with many queries, a probability to reach, and a file to write: every format says the same."""

import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from qwen3_reranker import text_reranker
from qwen3_reranker.evaluate import read_run
from tests.cli.conftest import Outcome, Run
from tests.cli.terminal import on_terminal

QUERIES = {
    "q.txt": "first query\n\nsecond query\n",
    "q.jsonl": '{"id": "1", "query": "first query"}\n{"qid": 2, "text": "second query"}\n',
    "q.json": '[{"id": 1, "question": "first query"}, {"id": 2, "question": "second query"}]',
    "q.csv": "query_id,query\n1,first query\n2,second query\n",
    "q.tsv": "id\ttext\n1\tfirst query\n2\tsecond query\n",
    "topics.tsv": "query_id\ttext\n1\tfirst query\n2\tsecond query\n",
}


def ranked(run: Run, model: str, *arguments: str, stdin: bytes = b"") -> Outcome:
    outcome = run("rank", "-m", model, *arguments, stdin=stdin)
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture
def queries(notes: Path) -> Path:
    for name, text in QUERIES.items():
        (notes / name).write_text(text, encoding="utf-8")
    rows = [{"id": 1, "query": "first query"}, {"id": 2, "query": "second query"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), notes / "q.parquet")
    return notes


@pytest.mark.parametrize("file", [*QUERIES, "q.parquet"])
def test_each_query_of_a_file_is_ranked_as_it_would_be_alone(run: Run, model: str, queries: Path, file: str) -> None:
    hits = ranked(run, model, "--queries", file, "notes.txt").hits
    for number, text in (("1", "first query"), ("2", "second query")):
        alone = ranked(run, model, text, "notes.txt").hits
        assert [hit for hit in hits if hit["query_id"] == number] == [{"query_id": number, **hit} for hit in alone]
    assert len(hits) == 6


def test_queries_come_from_standard_input_too(run: Run, model: str, queries: Path) -> None:
    expected = ranked(run, model, "--queries", "q.jsonl", "notes.txt").out
    assert ranked(run, model, "--queries", "-", "notes.txt", stdin=QUERIES["q.jsonl"].encode()).out == expected


def test_more_queries_than_a_plan_holds_are_ranked_alike(
    run: Run, model: str, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ranked(run, model, "--queries", "q.txt", "notes.txt").out
    monkeypatch.setattr(text_reranker, "MOST_PAIRS", 3)
    assert ranked(run, model, "--queries", "q.txt", "notes.txt").out == expected


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, ("--queries", "none.txt", "notes.txt"), "none.txt: no such file"),
        ({"q": "\n \n"}, ("--queries", "q", "notes.txt"), "q: holds no queries"),
        (
            {"q.jsonl": '{"id": 1}'},
            ("--queries", "q.jsonl", "notes.txt"),
            "q.jsonl:1: none of the fields query, text, qu",
        ),
        (
            {"q.jsonl": '{"query": " "}'},
            ("--queries", "q.jsonl", "notes.txt"),
            "q.jsonl:1: the query must not be blank",
        ),
        (
            {"q.jsonl": '{"query": 3}'},
            ("--queries", "q.jsonl", "notes.txt"),
            "q.jsonl:1: the field 'query' must be a str",
        ),
        (
            {"q.jsonl": '{"id": 7, "query": "a"}\n{"id": "7", "query": "b"}'},
            ("--queries", "q.jsonl", "notes.txt"),
            "q.jsonl:2: the id '7' is that of q.jsonl:1 too",
        ),
        ({"q": "a"}, ("--queries", "q"), "no documents named"),
        (
            {"q": "a"},
            ("--queries", "q", "query", "notes.txt"),
            "query: no such file or folder; the query comes from --qu",
        ),
        (
            {"q": "a"},
            ("--queries", "q", "--query-file", "q", "notes.txt"),
            "--query-file holds one query and --queries",
        ),
        ({}, ("query", "notes.txt", "--min-probability", "1.5"), "--min-probability must be at most 1"),
        ({}, ("query", "notes.txt", "--min-probability", "nan"), "--min-probability must be at least 0"),
        ({}, ("query", "notes.txt", "--format", "parquet"), "Parquet is no text: name a file with -o FILE"),
        ({}, ("query", "notes.txt", "-o", "."), ". is a folder: name a file"),
        ({}, ("query", "notes.txt", "-o", "out.csv"), "out.csv: .csv is not written here; call it .json, .jsonl, .nd"),
        ({}, ("query", "notes.txt", "-o", ""), "expected the name of a file after -o, got an empty one"),
        ({}, ("query", "notes.txt", "-o", "no/such/out.jsonl"), "no/such/out.jsonl: cannot be written (No such file"),
        ({"a b.txt": "text"}, ("query", "a b.txt", "--format", "trec"), "the id 'a b.txt:1' holds blanks"),
        ({}, ("query", "notes.txt", "--explain-plan", "-o", "plan"), "--explain-plan prints an outline and ranks noth"),
    ],
)
def test_what_cannot_be_ranked_or_written_is_one_line(
    run: Run, model: str, notes: Path, files: dict[str, str], arguments: tuple[str, ...], message: str
) -> None:
    for name, text in files.items():
        (notes / name).write_text(text, encoding="utf-8")
    before = set(notes.iterdir())
    outcome = run("rank", "-m", model, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert set(notes.iterdir()) == before


def test_a_probability_to_reach_leaves_the_others_out(run: Run, model: str, notes: Path) -> None:
    hits = ranked(run, model, "a query", "notes.txt").hits
    middle = hits[1]["probability"]
    assert ranked(run, model, "a query", "notes.txt", "--min-probability", str(middle)).hits == hits[:2]
    shown = ranked(run, model, "a query", "notes.txt", "--min-probability", "1", "--format", "table").out
    assert "best 0 of 3 with a probability of 1 or more" in shown


@pytest.mark.parametrize("ending", ["jsonl", "json", "tsv"])
def test_a_file_gets_the_format_of_its_ending_and_what_would_be_printed(
    run: Run, model: str, queries: Path, ending: str
) -> None:
    printed = ranked(run, model, "--queries", "q.txt", "notes.txt", "--format", ending).out
    assert ranked(run, model, "--queries", "q.txt", "notes.txt", "-o", f"out.{ending}").out == ""
    assert (queries / f"out.{ending}").read_text(encoding="utf-8") == printed
    assert not list(queries.glob("*.part"))


def test_json_of_many_queries_is_a_list_of_what_one_query_gives(run: Run, model: str, queries: Path) -> None:
    [first, second] = json.loads(ranked(run, model, "--queries", "q.txt", "notes.txt", "--format", "json").out)
    alone = json.loads(ranked(run, model, "first query", "notes.txt", "--format", "json").out)
    assert {**alone, "query_id": "1", "usage": 0} == {**first, "usage": 0}
    assert second["query"] == "second query"


def test_a_run_is_read_back_by_evaluation_and_holds_the_best_passage_of_a_record(
    run: Run, model: str, queries: Path
) -> None:
    records = [
        {"id": f"D{number}", "text": " ".join(f"word{number}{each}" for each in range(30))} for number in range(3)
    ]
    (queries / "docs.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    ranked(run, model, "--queries", "q.txt", "docs.jsonl", "--chunk-words", "10", "-o", "out.trec")
    hits = ranked(run, model, "--queries", "q.txt", "docs.jsonl", "--chunk-words", "10").hits
    assert len(hits) == 18
    found = read_run(queries / "out.trec")
    for query in ("1", "2"):
        logits = [(hit["id"], hit["logit"]) for hit in hits if hit["query_id"] == query]
        assert found[query] == {name: max(logit for each, logit in logits if each == name) for name, _ in logits}
        assert list(found[query].values()) == sorted(found[query].values(), reverse=True)


def test_parquet_holds_a_row_for_each_hit(run: Run, model: str, queries: Path) -> None:
    (queries / "docs.jsonl").write_text('{"id": 7, "text": "a"}\n{"text": "b", "url": "u"}\n', encoding="utf-8")
    ranked(run, model, "--queries", "q.txt", "docs.jsonl", "-o", "out.parquet")
    table = pyarrow.parquet.read_table(queries / "out.parquet")
    hits = ranked(run, model, "--queries", "q.txt", "docs.jsonl").hits
    rows = table.to_pylist()
    assert [row["query"] for row in rows] == ["first query"] * 2 + ["second query"] * 2
    for name in ("query_id", "rank", "index", "document", "source", "document_tokens"):
        assert [row[name] for row in rows] == [hit[name] for hit in hits], name
    assert [row["logit"] for row in rows] == pytest.approx([hit["logit"] for hit in hits])
    assert [row["id"] for row in rows] == [None if hit.get("id") is None else str(hit["id"]) for hit in hits]
    assert str(table.schema.field("logit").type) == "float"


def test_without_pyarrow_parquet_says_what_to_install(
    run: Run, model: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    outcome = run("rank", "-m", model, "a query", "notes.txt", "-o", "out.parquet")
    assert outcome.code == 4
    assert outcome.err == "error: Parquet needs pyarrow: pip install 'qwen3_reranker[parquet]'\n"
    assert not list(notes.glob("out*"))


def test_documents_may_be_rows_of_parquet(run: Run, model: str, notes: Path) -> None:
    rows = [{"id": "A", "body": "first note"}, {"id": "B", "body": "second note"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), notes / "docs.parquet")
    hits = ranked(run, model, "a query", "docs.parquet", "--field", "body").hits
    assert {(hit["id"], hit["source"]) for hit in hits} == {("A", "docs.parquet:1"), ("B", "docs.parquet:2")}
    (notes / "bad.parquet").write_bytes(b"PAR1 no more")
    assert run("rank", "-m", model, "a query", "bad.parquet").err.startswith(
        "error: bad.parquet: cannot be read as Par"
    )


@pytest.mark.parametrize("columns", [60, 140])
def test_on_a_terminal_each_query_stands_above_its_table(model: str, queries: Path, columns: int) -> None:
    command = ["-m", "qwen3_reranker", "rank", "-m", model, "--queries", "q.txt", "notes.txt"]
    lines = on_terminal(command, columns=columns, environment={"NO_COLOR": "1"}).splitlines()
    assert lines[0] == "1: first query"
    assert "2: second query" in lines
    assert max(map(len, lines)) <= columns
