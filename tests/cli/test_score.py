"""`score` gives each pair its two numbers, in every format, a part at a time, and loses nothing on bad input."""

import csv
import io
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.cli import score_pairs
from testing.patience import PATIENCE_SECONDS
from tests.cli.conftest import Run

PAIRS = [
    {"id": 1, "query": "first query", "document": "a text"},
    {"id": 2, "query": "first query", "document": 'text with "quotes", a comma\tand a tab'},
    {"id": 3, "query": "second query", "document": "two\n\nlines"},
]
LINES = "".join(json.dumps(pair) + "\n" for pair in PAIRS)


@pytest.fixture
def folder(notes: Path) -> Path:
    (notes / "pairs.jsonl").write_text(LINES, encoding="utf-8")
    (notes / "pairs.jsonl.xz").write_bytes(lzma.compress(LINES.encode()))
    with (notes / "pairs.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["id", "query", "document"])
        writer.writeheader()
        writer.writerows(PAIRS)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), notes / "pairs.parquet")
    return notes


def expected(model: str) -> list[float]:
    with Reranker(model) as reranker:
        return reranker.logits([(pair["query"], pair["document"]) for pair in PAIRS]).tolist()


def parsed(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("file", ["pairs.jsonl", "pairs.jsonl.xz", "pairs.csv", "pairs.parquet", "-"])
def test_each_pair_comes_back_with_the_logit_of_the_library(run: Run, model: str, folder: Path, file: str) -> None:
    outcome = run("score", file, "-m", model, stdin=LINES.encode())
    assert outcome.code == 0, outcome.err
    scored = parsed(outcome.out)
    assert [str(row["id"]) for row in scored] == ["1", "2", "3"]
    assert [row["document"] for row in scored] == [pair["document"] for pair in PAIRS]
    assert np.allclose([row["logit"] for row in scored], expected(model), atol=1e-6)
    assert np.allclose([row["probability"] for row in scored], 1 / (1 + np.exp(-np.array(expected(model)))), atol=1e-6)


def test_a_tsv_is_read_and_written_a_record_a_line(run: Run, model: str, notes: Path) -> None:
    (notes / "pairs.tsv").write_text('id\tquery\tdocument\n7\ta query\t"5"" disk"\n\n8\ta query\t5" disk\n', "utf-8")
    assert run("score", "pairs.tsv", "-m", model, "-o", "out.tsv").code == 0
    header, *rows = [line.split("\t") for line in (notes / "out.tsv").read_text(encoding="utf-8").splitlines()]
    assert header == ["id", "query", "document", "logit", "probability"]
    assert [row[:3] for row in rows] == [["7", "a query", '5" disk'], ["8", "a query", '5" disk']]
    assert rows[0][3] == rows[1][3]


@pytest.mark.parametrize("parts", [1, 2, 1024])
def test_parts_of_any_size_give_the_same_file(
    run: Run, model: str, folder: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_pairs, "_PAIRS", parts)
    logits = [pytest.approx(each, abs=1e-6) for each in expected(model)]
    assert run("score", "pairs.jsonl", "-m", model, "-o", "out.parquet").out.startswith("3 pairs · ")
    table = pyarrow.parquet.read_table("out.parquet")
    assert table.column("logit").to_pylist() == logits
    assert {str(table.schema.field(name).type) for name in ("logit", "probability")} == {"float"}
    run("score", "pairs.jsonl", "-m", model, "-o", "out.csv")
    rows = list(csv.DictReader(io.StringIO((folder / "out.csv").read_text(encoding="utf-8"))))
    assert [row["document"] for row in rows] == [pair["document"] for pair in PAIRS]
    assert [float(row["logit"]) for row in rows] == logits
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"query": "q"}', "bad.jsonl:1: no field 'document' (its fields: 'query'); choose one with --document-field"),
        ('{"query": " ", "document": "d"}', "bad.jsonl:1: the query must not be blank"),
        (LINES + '{"query": "q", "document": 3}', "bad.jsonl:4: the field 'document' must be a string, got a number"),
        (LINES + '{"query": "q", "document": "\\ud800"}', "bad.jsonl:4: not valid Unicode: the lone surrogate '\\ud8"),
        (LINES + "[1]", "bad.jsonl:4: expected a JSON object, got a list"),
        (LINES + "{", "bad.jsonl:4: not valid JSON"),
        (b"\x1f\x8b\x08", "bad.jsonl: expected UTF-8 text, got a gzip file; unpack it with zcat"),
        (b'{"query": "\xff"}', "bad.jsonl:1: expected UTF-8, got the byte 0xff"),
    ],
)
def test_a_bad_record_is_found_before_anything_is_computed_and_is_named(
    run: Run, notes: Path, content: str | bytes, message: str
) -> None:
    path = notes / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    # A model that does not exist is not even looked for.
    outcome = run("score", "bad.jsonl", "-m", "no/such-model", "-o", "out.jsonl")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert not list(notes.glob("out*"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.jsonl", "none.jsonl: no such file"),
        ("notes.txt", "notes.txt: expected a file called .jsonl, .csv, .tsv or .parquet; or say --input-format"),
        ("array.json", "array.json: an array of JSON has to be read whole; write a record a line"),
        (".", ". is a folder: name a file of records"),
    ],
)
def test_what_is_no_file_of_records_is_one_line(run: Run, notes: Path, file: str, message: str) -> None:
    outcome = run("score", file)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {message}"), outcome.err


def test_a_bad_record_on_standard_input_leaves_what_was_scored(
    run: Run, model: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_pairs, "_PAIRS", 2)
    outcome = run("score", "-", "-m", model, "-o", "out.jsonl", stdin=(LINES + "{").encode())
    assert outcome.code == 2
    assert outcome.err == (
        "note: what was done so far is in out.jsonl.part\n"
        "error: stdin:4: not valid JSON: Expecting property name enclosed in double quotes\n"
    )
    assert [row["id"] for row in parsed((notes / "out.jsonl.part").read_text(encoding="utf-8"))] == [1, 2]
    assert not (notes / "out.jsonl").exists()


@pytest.mark.slow
def test_records_are_not_in_memory_all_at_once(notes: Path) -> None:
    # The library alone takes some 60 MB; the texts of these records take 200.
    with (notes / "many.jsonl").open("w", encoding="utf-8") as file:
        line = json.dumps({"query": "q", "document": "d", "more": "m" * 1000}) + "\n"
        file.writelines(line for _ in range(200_000))
    code = (
        "from qwen3_reranker.cli.score_pairs import _parts\n"
        "from qwen3_reranker.jobs.pairs import PairOptions, pairs_of\n"
        "from qwen3_reranker.documents.record_stream import RecordStream\n"
        "stream = RecordStream('many.jsonl')\n"
        "print(sum(map(len, _parts(pairs_of(stream, PairOptions())))))\n"
        # Of this program alone: what getrusage says includes the process that started it.
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    count, peak_kilobytes = map(int, done.stdout.split())
    assert count == 200_000
    assert peak_kilobytes < 120 << 10


def test_a_pipe_is_read_once_and_scored_whole(run: Run, model: str, notes: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        pipe.write(LINES)
    outcome = run("score", f"/dev/fd/{reading}", "--input-format", "jsonl", "-m", model)
    os.close(reading)
    assert [row["id"] for row in parsed(outcome.out)] == [1, 2, 3]


def test_ctrl_c_does_not_wait_for_a_silent_pipe(model: str, notes: Path) -> None:
    code = (
        "import sys\n"
        "from qwen3_reranker.cli import main, score_pairs\n"
        "score_pairs._PAIRS = 1\n"
        "sys.exit(main(['score', '-', '-m', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, model]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(LINES)
        process.stdin.flush()
        scored = [process.stdout.readline() for _ in PAIRS]
        process.send_signal(signal.SIGINT)
        # Its input is still open.
        assert process.wait(PATIENCE_SECONDS) == 130
        assert process.stderr.read() == "interrupted\n"
    assert [row["id"] for row in parsed("".join(scored))] == [1, 2, 3]


def test_half_a_surrogate_pair_in_another_field_is_written_as_it_came(run: Run, model: str, notes: Path) -> None:
    line = '{"query": "q", "document": "d", "more": "\\ud800"}'
    assert run("score", "-", "-m", model, "-o", "out.jsonl", stdin=line.encode()).code == 0
    assert json.loads((notes / "out.jsonl").read_text(encoding="utf-8"))["more"] == "\ud800"
    outcome = run("score", "-", "-m", model, "-o", "out.parquet", stdin=line.encode())
    assert outcome.code == 2
    assert "error: records of these kinds make no table (" in outcome.err, outcome.err


def test_columns_of_one_name_are_both_kept(run: Run, model: str, notes: Path) -> None:
    stdin = b"query,document,query\na query,a text,another\n"
    [row] = parsed(run("score", "-", "--input-format", "csv", "-m", model, stdin=stdin).out)
    assert (row["query"], row["document"], row["column 3"]) == ("a query", "a text", "another")


def test_a_link_stays_one_and_a_pipe_is_written_to_as_it_is(run: Run, model: str, folder: Path) -> None:
    (folder / "link.jsonl").symlink_to("real.jsonl")
    assert run("score", "pairs.jsonl", "-m", model, "-o", "link.jsonl").code == 0
    assert (folder / "link.jsonl").is_symlink()
    assert len(parsed((folder / "real.jsonl").read_text(encoding="utf-8"))) == 3
    reading, writing = os.pipe()
    assert run("score", "pairs.jsonl", "-m", model, "-o", f"/dev/fd/{writing}").code == 0
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        assert len(parsed(pipe.read())) == 3
    os.mkfifo("pipe")
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "pipe", "--format", "parquet")
    assert outcome.code == 2
    assert outcome.err == "error: pipe is a pipe or a device, which this format cannot be written to: name a file\n"


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_leaves_what_was_scored(model: str, notes: Path) -> None:
    lines = (json.dumps({"id": each, "query": f"query {each}", "document": "a text"}) for each in range(50_000))
    (notes / "many.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "qwen3_reranker", "score", "many.jsonl", "-m", model, "-o", "out.jsonl"]
    part = notes / "out.jsonl.part"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + PATIENCE_SECONDS
        while not (part.exists() and part.stat().st_size) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, err
    assert err.endswith("note: what was done so far is in out.jsonl.part\ninterrupted\n"), err
    assert [row["id"] for row in parsed(part.read_text(encoding="utf-8"))][:3] == [0, 1, 2]
    assert not (notes / "out.jsonl").exists()


def test_a_cut_document_is_noted(run: Run, model: str, folder: Path) -> None:
    outcome = run(
        "score", "-", "-m", model, "--max-length", "400", stdin=json.dumps(PAIRS[0] | {"document": "x" * 900}).encode()
    )
    assert outcome.err == "note: 1 of 1 documents cut to fit 400 tokens\n"


@pytest.mark.parametrize("source", [["score", "pairs.jsonl"], ["score", "-"], ["rank", "first query", "notes.txt"]])
def test_a_dry_run_states_what_would_be_computed_and_writes_nothing(
    run: Run, model: str, folder: Path, source: list[str]
) -> None:
    before = set(folder.iterdir())
    outcome = run(*source, "-m", model, "-o", "out.jsonl", "--dry-run", stdin=LINES.encode())
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["rows"] == found["sampled_rows"] == 3
    with Reranker(model) as reranker:
        if source[0] == "rank":
            usage = reranker.rank("first query", ["first note", "second note", "third note"]).usage
            assert (found["prompt_tokens"], found["distinct_tokens"]) == (usage.prompt_tokens, usage.computed_tokens)
    assert 0 < found["distinct_tokens"] < found["prompt_tokens"]
    assert found["seconds"] == pytest.approx(found["distinct_tokens"] / found["tokens_per_second"])
    assert found["memory_bytes"] > 1 << 20
    assert set(folder.iterdir()) == before


def test_a_dry_run_of_many_pairs_reckons_from_the_first(
    run: Run, model: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notes / "many.jsonl").write_text(LINES * 10, encoding="utf-8")
    monkeypatch.setattr(score_pairs, "SAMPLED_ROWS", 3)
    found = json.loads(run("score", "many.jsonl", "-m", model, "--dry-run").out)
    alone = json.loads(run("score", "-", "-m", model, "--dry-run", stdin=LINES.encode()).out)
    assert (found["rows"], found["sampled_rows"]) == (30, 3)
    assert found["prompt_tokens"] == 10 * alone["prompt_tokens"]
