"""`embed` writes the vectors of the library, in every format, in the order of the texts."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from qwen3_reranker import Embedder
from qwen3_reranker.cli import embed as embed_module
from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model
from tests.cli.conftest import Run

TEXTS = ["first note", "second note", "third note"]


@pytest.fixture(scope="module")
def embedding_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = write_small_checkpoint(tmp_path_factory.mktemp("base"), hidden_size=64, initializer_range=0.12, seed=1)
    return str(write_embedding_model(tmp_path_factory.mktemp("embedding"), base))


@pytest.fixture(scope="module")
def vectors(embedding_model: str) -> np.ndarray:
    with Embedder(embedding_model) as embedder:
        return embedder.documents(TEXTS)


@pytest.mark.parametrize("parts", [2, 512])
def test_every_format_holds_the_vectors_of_the_library(
    run: Run, embedding_model: str, vectors: np.ndarray, notes: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "_TEXTS", parts)
    for name in ("out.npy", "out.parquet", "out.jsonl"):
        outcome = run("embed", "notes.txt", "-m", embedding_model, "-o", name)
        assert (outcome.code, outcome.err) == (0, ""), name
        assert outcome.out.startswith("3 vectors of 64 numbers · ")
    array = np.load(notes / "out.npy")
    assert array.dtype == np.float32
    assert np.array_equal(array, vectors)
    table = pyarrow.parquet.read_table(notes / "out.parquet")
    assert np.array_equal(np.array(table["embedding"].to_pylist(), np.float32), vectors)
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[64]"
    lines = [json.loads(line) for line in (notes / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert np.array_equal(np.array([line["embedding"] for line in lines], np.float32), vectors)
    assert [line["source"] for line in lines] == ["notes.txt:1", "notes.txt:3", "notes.txt:4"]
    assert not list(notes.glob("*.part"))


def test_queries_have_an_instruction_and_vectors_may_be_shorter(run: Run, embedding_model: str, notes: Path) -> None:
    arguments = ("--role", "query", "--instruction", "Find code", "--dim", "32")
    lines = run("embed", "notes.txt", "-m", embedding_model, *arguments).out.splitlines()
    with Embedder(embedding_model, dim=32) as embedder:
        expected = embedder.queries(TEXTS, "Find code")
    assert np.array_equal(np.array([json.loads(line)["embedding"] for line in lines], np.float32), expected)


def test_records_keep_their_ids(run: Run, embedding_model: str, vectors: np.ndarray, notes: Path) -> None:
    records = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    (notes / "records.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    lines = run("embed", "records.jsonl", "-m", embedding_model).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [0, 1, 2]
    run("embed", "records.jsonl", "-m", embedding_model, "-o", "out.parquet")
    assert pyarrow.parquet.read_table(notes / "out.parquet")["id"].to_pylist() == ["0", "1", "2"]


def test_no_texts_give_an_array_of_no_rows(run: Run, embedding_model: str, notes: Path) -> None:
    (notes / "empty.txt").write_text("\n", encoding="utf-8")
    assert run("embed", "empty.txt", "-m", embedding_model, "-o", "out.npy").code == 0
    assert np.load(notes / "out.npy").shape == (0, 64)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("notes.txt",), 2, "Missing option '--model'"),
        (("notes.txt", "-m", "nano"), 3, "nano: a causal-lm checkpoint with a head that judges"),
        (("notes.txt", "-m", "nano", "--format", "npy"), 2, "an array of numpy is no text: name a file with -o FILE"),
        (("notes.txt", "-m", "nano", "--dim", "8"), 2, "--dim must be at least 32"),
        (("notes.txt", "-m", "nano", "--instruction", "x"), 2, "a document takes no --instruction: embed queries with"),
        (("none.txt", "-m", "nano"), 2, "none.txt: no such file or folder"),
    ],
)
def test_what_cannot_be_embedded_is_one_line(
    run: Run, notes: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    outcome = run("embed", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert outcome.err.count("\n") == 1


def test_a_dry_run_counts_texts_and_tokens(run: Run, embedding_model: str, notes: Path) -> None:
    found = json.loads(run("embed", "notes.txt", "-m", embedding_model, "-o", "out.npy", "--dry-run").out)
    assert (found["rows"], found["cut_rows"]) == (3, 0)
    assert found["tokens_per_second"] > 0
    assert not (notes / "out.npy").exists()
