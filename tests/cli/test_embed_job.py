"""`embed -o FOLDER/` makes the rows of `embed -o FILE` in parts, and goes on where it was stopped."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from qwen3_reranker.cli import main
from tests.cli.conftest import Run
from tests.cli.test_embed import embedding_model as embedding_model
from tests.cli.test_score_folder import files, write_lines

RECORDS: list[dict[str, object]] = [{"_id": f"r{each}", "text": f"note {'é' * each} {each}"} for each in range(20)]


@pytest.fixture
def folder(notes: Path) -> Path:
    write_lines(notes / "texts.jsonl", RECORDS)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), notes / "texts.parquet")
    return notes


@pytest.mark.parametrize("source", ["texts.jsonl", "texts.parquet"])
def test_the_parts_together_are_the_rows_of_one_file(run: Run, embedding_model: str, folder: Path, source: str) -> None:
    command = ("embed", source, "-m", embedding_model)
    for form in ("jsonl", "parquet", "npy"):
        assert run(*command, "-o", f"whole.{form}").code == 0
        outcome = run(*command, "-o", f"{form}/", "--format", form, "--part-rows", "8")
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith("20 texts · ")
        assert list(files(form)) == [f"part-{number:05d}.{form}" for number in range(3)]
    assert b"".join(files("jsonl").values()) == Path("whole.jsonl").read_bytes()
    table = pyarrow.parquet.read_table("parquet")
    assert table.equals(pyarrow.parquet.read_table("whole.parquet"))
    assert table.schema.field("embedding").type == pyarrow.list_(pyarrow.float32(), 64)
    parts = [np.load(f"npy/{name}") for name in files("npy")]
    assert np.array_equal(np.concatenate(parts), np.load("whole.npy"))


def test_a_stopped_job_goes_on_with_what_is_missing_and_only_as_it_began(
    run: Run, embedding_model: str, folder: Path
) -> None:
    command = ("embed", "texts.parquet", "-m", embedding_model, "-o", "vectors/", "--part-rows", "8")
    assert run(*command).code == 0
    whole = files("vectors")
    Path("vectors/part-00001.parquet").unlink()
    for more, message in (("--dim", "32"), "dim was 64 and is 32"), (("--role", "query"), 'role was "document" and is'):
        outcome = run(*command, *more)
        assert outcome.code == 2
        assert message in outcome.err
    assert run(*command).out.startswith("8 texts (and 12 done before) · ")
    assert files("vectors") == whole


def test_passages_of_records_are_rows_too(run: Run, embedding_model: str, folder: Path) -> None:
    write_lines(folder / "long.jsonl", [{"text": "one two. " * 20}, {"text": "short"}])
    command = ("embed", "long.jsonl", "-m", embedding_model, "--chunk-words", "10")
    assert run(*command, "-o", "whole.jsonl").code == 0
    assert run(*command, "-o", "parts/", "--part-rows", "2").code == 0
    assert b"".join(files("parts").values()) == Path("whole.jsonl").read_bytes()
    assert len(files("parts")) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("texts.jsonl", "texts.parquet", "-o", "v/"), "a job reads one file of records, got 2 places"),
        ((".", "-o", "v/"), ". is a folder: name a file of records"),
        (("texts.jsonl", "-o", "v/", "--input-format", "lines"), "a job reads records of jsonl, csv, tsv, parquet"),
        (("texts.jsonl", "-o", "v/", "--backend", "vllm"), "the vllm backend gives logits and no vectors"),
        (("texts.jsonl", "-o", "v/", "--field", "body"), "texts.jsonl:1: "),
        (("texts.jsonl", "-o", "v.npy", "--engine", "ray"), "--engine is for a job, which goes to a folder: -o v.npy/"),
        (("texts.jsonl", "-o", "v/", "--dim", "65"), "--dim must be "),
    ],
)
def test_what_cannot_be_a_job_is_one_line_and_makes_no_folder(
    run: Run, embedding_model: str, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = run("embed", *arguments, "-m", embedding_model)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("v").exists()


def test_a_model_that_judges_makes_no_folder(run: Run, folder: Path) -> None:
    outcome = run("embed", "texts.jsonl", "-m", "nano", "-o", "v/")
    assert outcome.code == 3
    assert not Path("v").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_ray_writes_the_bytes_of_local(embedding_model: str, folder: Path, package_path: None) -> None:
    command = ("embed", "texts.jsonl", "-m", embedding_model, "--part-rows", "8")
    assert main([*command, "-o", "local/"]) == 0
    assert main([*command, "-o", "ray/", "--engine", "ray", "--workers", "1"]) == 0
    assert json.loads(Path("ray/_job.json").read_text()) == json.loads(Path("local/_job.json").read_text())
    assert files("ray") == files("local")
