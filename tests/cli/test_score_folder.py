"""`score -o FOLDER/` scores each row once, however it was stopped, and goes on only with what it began with."""

import csv
import fcntl
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.errors import JobChangedError
from qwen3_reranker.jobs.job_files import DiskFiles
from qwen3_reranker.jobs.job_folder import JobInput, opened
from qwen3_reranker.jobs.pairs import parts_of
from testing.patience import PATIENCE_SECONDS, until
from tests.cli.conftest import Run

QUERIES, DOCUMENTS = 6, 4
PAIRS = [
    {"id": query * DOCUMENTS + each, "query": f"query {query}", "document": f'text {each}, "{"é" * each}"\nof {query}'}
    for query in range(QUERIES)
    for each in range(DOCUMENTS)
]


@pytest.fixture
def folder(notes: Path) -> Path:
    write_lines(notes / "pairs.jsonl", PAIRS)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), notes / "pairs.parquet")
    with (notes / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "query", "document"])
        writer.writeheader()
        writer.writerows(PAIRS)
    return notes


def write_lines(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("part-*"))}


def rows(folder: str) -> list[dict[str, object]]:
    """The rows of all parts, in their order."""
    return [row for name, content in files(folder).items() for row in rows_of(name, content)]


def rows_of(name: str, content: bytes) -> list[dict[str, object]]:
    if name.endswith(".parquet"):
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    if name.endswith(".csv"):
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    return [json.loads(line) for line in content.decode().splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("source", ["pairs.jsonl", "pairs.csv", "pairs.parquet"])
def test_every_row_is_in_one_part_in_the_order_of_the_input(
    run: Run, model: str, folder: Path, source: str, form: str
) -> None:
    outcome = run("score", source, "-m", model, "-o", "scored/", "--part-rows", "8", "--format", form)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("24 pairs · ")
    assert list(files("scored")) == [f"part-{number:05d}.{form}" for number in range(3)]
    if form != "tsv":
        assert [str(row["id"]) for row in rows("scored")] == [str(pair["id"]) for pair in PAIRS]
        assert [row["document"] for row in rows("scored")] == [pair["document"] for pair in PAIRS]
        with Reranker(model) as reranker:
            logits_N = reranker.logits([(str(pair["query"]), str(pair["document"])) for pair in PAIRS])
        assert [np.float32(row["logit"]) for row in rows("scored")] == logits_N.tolist()


def test_the_format_is_that_of_the_input_and_readers_of_folders_see_the_parts_alone(
    run: Run, model: str, folder: Path
) -> None:
    assert run("score", "pairs.parquet", "-m", model, "-o", "scored/", "--part-rows", "8").code == 0
    table = pandas.read_parquet("scored")
    assert table["id"].tolist() == list(range(24))
    assert {str(table[name].dtype) for name in ("logit", "probability")} == {"float32"}


def test_parts_have_the_columns_and_the_types_of_the_input_whatever_their_own_rows_hold(
    run: Run, model: str, folder: Path
) -> None:
    kinds = pyarrow.schema([("query", "string"), ("document", "string"), ("clicks", "int16"), ("why", "string")])
    records = [{**pair, "clicks": None if index < 8 else index, "why": None} for index, pair in enumerate(PAIRS)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, kinds), "clicks.parquet")
    assert run("score", "clicks.parquet", "-m", model, "-o", "scored/", "--part-rows", "8").code == 0
    for content in files("scored").values():
        schema = pyarrow.parquet.read_schema(io.BytesIO(content))
        assert [schema.field(name).type for name in kinds.names] == kinds.types


def test_maps_stay_maps_as_the_input_says_what_they_are(run: Run, model: str, folder: Path) -> None:
    kinds = pyarrow.schema([("query", "string"), ("document", "string"), ("tags", pyarrow.map_("string", "int32"))])
    records = [{**pair, "tags": [("a", 1)]} for pair in PAIRS]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records, kinds), "tags.parquet")
    assert run("score", "tags.parquet", "-m", model, "-o", "scored/").code == 0
    table = pyarrow.parquet.read_table("scored").select(kinds.names)
    assert table.equals(pyarrow.parquet.read_table("tags.parquet"))


def test_what_is_done_is_not_done_again_and_what_is_missing_gets_the_same_bytes(
    run: Run, model: str, folder: Path
) -> None:
    command = ("score", "pairs.parquet", "-m", model, "-o", "scored/", "--part-rows", "8")
    run(*command)
    whole = files("scored")
    Path("scored/part-00001.parquet").unlink()
    Path("scored/.part-00001.parquet.partial").write_bytes(b"half a part")
    assert len(pandas.read_parquet("scored")) == 16
    kept = {name: Path("scored", name).stat().st_mtime_ns for name in files("scored")}
    assert run(*command).out.startswith("8 pairs (and 16 done before) · ")
    assert files("scored") == whole
    assert {name: Path("scored", name).stat().st_mtime_ns for name in kept} == kept
    assert not list(Path("scored").glob(".*.partial"))
    assert run(*command).out.startswith("0 pairs (and 24 done before) · ")


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_job_that_is_killed_goes_on_and_loses_and_doubles_no_row(
    run: Run, model: str, folder: Path, blow: signal.Signals
) -> None:
    write_lines(folder / "many.jsonl", [{**PAIRS[each % 24], "id": each} for each in range(4000)])
    command = ["score", "many.jsonl", "-m", model, "-o", "scored/", "--part-rows", "100"]
    with subprocess.Popen([sys.executable, "-m", "qwen3_reranker", *command], stderr=subprocess.PIPE) as process:
        until(lambda: len(files("scored")) >= 2 or process.poll() is not None)
        process.send_signal(blow)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == (130 if blow == signal.SIGINT else -blow)
    assert 2 <= len(files("scored")) < 40
    assert run(*command).code == 0
    assert [row["id"] for row in rows("scored")] == list(range(4000))
    assert run(*command[:-4], "-o", "whole/", "--part-rows", "100").code == 0
    assert files("scored") == files("whole")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--precision", "int8"), 'precision was "float32" and is "int8"'),
        (("--part-rows", "9"), "--part-rows was 8 and is 9"),
        (("--instruction", "Find it"), 'instruction was null and is "Find it"'),
        (("--document-field", "query"), '--document-field was "document" and is "query"'),
        (("--format", "csv"), 'format was "jsonl" and is "csv"'),
    ],
)
def test_a_job_goes_on_only_with_the_options_that_it_began_with(
    run: Run, model: str, folder: Path, more: tuple[str, ...], message: str
) -> None:
    command = ("score", "pairs.jsonl", "-m", model, "-o", "scored/", "--part-rows", "8")
    run(*command)
    before = files("scored")
    outcome = run(*command, *more)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        f"error: scored holds a job that began otherwise: {message}. Go on as it began, or name another folder\n"
    )
    assert files("scored") == before


def test_threads_and_batch_sizes_may_change_as_they_move_no_bit(run: Run, model: str, folder: Path) -> None:
    command = ("score", "pairs.jsonl", "-m", model, "-o", "scored/", "--part-rows", "8")
    run(*command)
    whole = files("scored")
    Path("scored/part-00002.jsonl").unlink()
    assert run(*command, "--threads", "1", "--max-batch-tokens", "64").code == 0
    assert files("scored") == whole


def test_a_changed_input_is_refused_and_a_copy_is_not(run: Run, model: str, folder: Path) -> None:
    run("score", "pairs.jsonl", "-m", model, "-o", "scored/")
    Path("copy.jsonl").write_bytes(Path("pairs.jsonl").read_bytes())
    assert run("score", "copy.jsonl", "-m", model, "-o", "scored/").code == 0
    with Path("pairs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(PAIRS[0]) + "\n")
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "scored/")
    assert outcome.code == 2
    assert "input bytes was " in outcome.err
    assert "input sha256 was " in outcome.err


def test_a_bad_record_is_found_before_a_folder_is_made(run: Run, notes: Path) -> None:
    write_lines(notes / "bad.jsonl", [*PAIRS, {"query": " ", "document": "d"}])
    outcome = run("score", "bad.jsonl", "-m", "no/such-model", "-o", "scored/")
    assert (outcome.code, outcome.err) == (2, "error: bad.jsonl:25: the query must not be blank\n")
    assert not (notes / "scored").exists()


def test_a_row_that_fits_no_table_leaves_the_parts_before_it(run: Run, model: str, notes: Path) -> None:
    write_lines(notes / "odd.jsonl", [*PAIRS, {**PAIRS[0], "odd": 1}])
    outcome = run("score", "odd.jsonl", "-m", model, "-o", "scored/", "--format", "csv", "--part-rows", "8")
    assert outcome.code == 2
    done, error, _ = outcome.err.split("\n")
    assert done == "note: 24 of 25 pairs are done; the same command goes on from there"
    assert error.startswith("error: the field 'odd' is not among those of the first record")
    assert len(files("scored")) == 3


def test_rows_of_several_types_that_make_no_table_are_one_line(run: Run, model: str, notes: Path) -> None:
    write_lines(notes / "mixed.jsonl", [{**PAIRS[0], "id": each} for each in ("a", 1)])
    outcome = run("score", "mixed.jsonl", "-m", model, "-o", "scored/", "--format", "parquet")
    assert outcome.code == 2
    assert outcome.err.splitlines()[1].startswith("error: records of these kinds make no table (")
    assert len(outcome.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pairs.jsonl", "--engine", "ray"), "--engine is for a job, which goes to a folder: -o scored/"),
        (("pairs.jsonl", "--part-rows", "8", "-o", "x"), "--part-rows is for a job, which goes to a folder: -o x/"),
        (("-", "-o", "scored/"), "a job reads its input again when it goes on, so it cannot be a pipe"),
        (("pairs.jsonl", "-o", "full"), "full: holds files that belong to no job; name a new or an empty folder"),
        (("none.jsonl", "-o", "scored/"), "none.jsonl: no such file"),
        (("pairs.jsonl", "-o", "pairs.csv/"), "pairs.csv is a file: name a folder"),
        (("pairs.jsonl", "-o", "scored/", "--part-rows", "0"), "--part-rows must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_a_job_is_one_line(run: Run, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    Path("full").mkdir()
    Path("full/letter.txt").write_text("dear", encoding="utf-8")
    outcome = run("score", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert outcome.err.count("\n") == 1


def test_hidden_files_and_what_a_crash_left_do_not_keep_a_job_from_beginning(
    run: Run, model: str, folder: Path
) -> None:
    Path("scored").mkdir()
    for name in (".DS_Store", "._job.json.partial"):
        Path("scored", name).write_text("{", encoding="utf-8")
    assert run("score", "pairs.jsonl", "-m", model, "-o", "scored").out.startswith("24 pairs · ")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "input": {}, "parts": []}'])
def test_a_folder_whose_job_cannot_be_read_is_one_line(run: Run, folder: Path, content: str) -> None:
    Path("scored").mkdir()
    Path("scored/_job.json").write_text(content, encoding="utf-8")
    outcome = run("score", "pairs.jsonl", "-o", "scored/")
    assert outcome.code == 2
    assert outcome.err.startswith("error: scored/_job.json: ")
    assert outcome.err.count("\n") == 1


def test_a_file_that_loses_rows_while_it_is_read_makes_no_short_part(folder: Path) -> None:
    reads = iter([[1, 2, 3, 4, 5], [1, 2, 3]])
    given = JobInput(
        stream=RecordStream("pairs.jsonl"),
        rows=lambda: iter(next(reads)),
        cut=lambda rows: parts_of(rows, 2, lambda row: 1),
        settings={},
    )
    with opened(DiskFiles(Path("scored")), given, "jsonl", dict) as job:
        parts = job.parts_left()
        assert next(parts) == (0, [1, 2])
        with pytest.raises(JobChangedError, match=r"pairs\.jsonl: changed while the job read it"):
            next(parts)


def test_a_job_that_is_done_opens_no_model(run: Run, model: str, folder: Path) -> None:
    command = ("score", "pairs.jsonl", "-m", model, "-o", "scored/")
    run(*command)
    outcome = run(*command, "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("0 pairs (and 24 done before) · ")


def test_two_processes_do_not_work_on_one_job(run: Run, model: str, folder: Path) -> None:
    command = ("score", "pairs.jsonl", "-m", model, "-o", "scored/")
    run(*command)
    with Path("scored/.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = run(*command)
    assert (outcome.code, outcome.err) == (4, "error: scored: another process works on this job\n")


def test_the_report_says_what_a_million_pairs_cost(run: Run, model: str, folder: Path) -> None:
    out = run("score", "pairs.jsonl", "-m", model, "-o", "scored/", "--price-per-hour", "3.6").out
    facts = out.strip().split(" · ")
    seconds = float(facts[3].removesuffix(" s"))
    assert facts[-1].endswith(" a million pairs")
    price = float(facts[-1].split()[0].replace(",", ""))
    assert price == pytest.approx(seconds / 1000 / 24 * 1e6, abs=0.01 / 1000 / 24 * 1e6)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(run: Run, model: str, folder: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "locked/")
    assert (outcome.code, outcome.err) == (2, "error: locked: cannot be written (Permission denied)\n")


def test_documents_of_a_query_share_its_tokens_wherever_they_stand(run: Run, model: str, folder: Path) -> None:
    shuffled = random.Random(0).sample(PAIRS, len(PAIRS))
    write_lines(folder / "shuffled.jsonl", shuffled)
    together = run("score", "pairs.jsonl", "-m", model, "-o", "together/").out.split(" · ")[1]
    assert run("score", "shuffled.jsonl", "-m", model, "-o", "apart/").out.split(" · ")[1] == together
    logits = {row["id"]: row["logit"] for row in rows("together")}
    assert [(row["id"], row["logit"]) for row in rows("apart")] == [(row["id"], logits[row["id"]]) for row in shuffled]
