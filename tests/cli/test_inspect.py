"""`inspect` tells what the files say, and a need of memory that holds."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.memory import memory_needed
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import write_classifier
from tests.cli.conftest import Run


def test_json_holds_what_the_reranker_runs(run: Run, model: str) -> None:
    found = json.loads(run("inspect", model).out)
    with Reranker(model) as reranker:
        assert found["config"]["num_hidden_layers"] == reranker.config.num_hidden_layers
        assert found["parameters"] == reranker.config.num_parameters
        assert found["tensors"] == {"F32": len(reranker.checkpoint.tensors)}
        assert found["files"] == {"model.safetensors": (Path(model) / "model.safetensors").stat().st_size}
        assert found["head"]["tensor"] == reranker.checkpoint.head.tensor.name
        assert found["layout"] == "causal-lm"
        assert found["head"]["rows"] == [reranker.tokens.yes_id, reranker.tokens.no_id]
        assert (found["head"]["yes_id"], found["head"]["no_id"]) == (reranker.tokens.yes_id, reranker.tokens.no_id)
        assert found["tokenizer"]["prefix_tokens"] == len(reranker.tokens.prefix_ids)
        assert found["memory"]["max_length"] == reranker.tokens.max_length
    assert found["memory"]["total_bytes"] == sum(item["num_bytes"] for item in found["memory"]["items"])


def test_a_head_that_was_rebuilt_is_said_to_be(run: Run, model: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", Path(model), labels=None)
    assert "rebuilt from token_embd.weight" in " ".join(run("inspect", str(path), "--format", "table").out.split())
    found = json.loads(run("inspect", str(path)).out)
    assert (found["layout"], found["files"]) == ("gguf", {"x.gguf": path.stat().st_size})
    assert found["head"]["note"] == "rebuilt from token_embd.weight, as the file has no cls.output.weight"


def test_the_table_names_every_part_on_one_screen(run: Run, model: str) -> None:
    shown = run("inspect", model, "--format", "table").out
    for words in (
        "Network",
        "Head",
        "Tokenizer",
        "Memory at most",
        "causal-lm",
        "row ",
        "model.embed_tokens.weight",
        "together",
    ):
        assert words in shown
    assert shown.count("\n") < 40
    assert "\x1b" not in shown


def test_a_classifier_shows_its_layout_and_the_row_that_judges(run: Run, model: str, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "one", Path(model), yes_id=7, no_id=5)
    found = json.loads(run("inspect", str(folder)).out)
    assert (found["layout"], found["instruction"]) == ("seq-cls", None)
    assert (found["head"]["tensor"], found["head"]["rows"], found["head"]["tied"]) == ("score.weight", [0], False)
    two = write_classifier(tmp_path / "two", Path(model), yes_id=7, no_id=5, labels=("no", "yes"))
    assert json.loads(run("inspect", str(two)).out)["head"]["rows"] == [1, 0]
    shown = run("inspect", str(folder), "--format", "table").out
    assert "yes - no" in shown


def test_a_shorter_length_and_smaller_batches_need_less(run: Run, model: str) -> None:
    usual = json.loads(run("inspect", model).out)["memory"]["total_bytes"]
    small = json.loads(run("inspect", model, "--max-length", "512", "--max-batch-tokens", "256").out)["memory"]
    assert small["total_bytes"] < usual
    too_long = run("inspect", model, "--max-length", "50000")
    assert too_long.code == 2
    assert "40960" in too_long.err


def test_memory_is_that_of_the_precision_and_the_kernels_asked_for(run: Run, tmp_path: Path, model: str) -> None:
    folder = write_checkpoint(
        tmp_path / "half",
        hidden_size=128,
        intermediate_size=512,
        dtype="BF16",
        tokenizer_file=Path(model) / "tokenizer.json",
    )

    def layers(*options: str) -> int:
        memory = json.loads(run("inspect", str(folder), *options).out)["memory"]
        sizes = {item["name"]: item["num_bytes"] for item in memory["items"]}
        assert ("constant prefix" in sizes) == (memory["precision"] != "float32")
        return sizes["layers"]

    matrices = open_checkpoint(str(folder)).config.num_linear_parameters
    assert layers() == layers("--precision", "bfloat16") == 2 * matrices
    assert matrices < layers("--precision", "int8") == layers("--precision", "int8x2") < 1.3 * matrices


@pytest.mark.parametrize(("documents", "words"), [(20, 40), (1, 1000)], ids=["many short", "few long"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_run_stays_within_the_memory_that_was_named(
    model: str, tmp_path: Path, documents: int, words: int, precision: str
) -> None:
    folder = write_checkpoint(
        tmp_path / "wider",
        hidden_size=128,
        intermediate_size=512,
        num_attention_heads=4,
        head_dim=32,
        tokenizer_file=Path(model) / "tokenizer.json",
    )
    texts = [str(number) + " x" * words for number in range(documents)]
    with Reranker(str(folder), max_batch_tokens=1024, precision=precision) as reranker:
        items = memory_needed(
            reranker.checkpoint,
            reranker.options,
            max_length=reranker.tokens.max_length,
            tokenizer_entries=reranker.tokens.num_entries,
            prefix_tokens=len(reranker.tokens.prefix_ids),
        )
        tracemalloc.start()
        try:
            reranker.rank("q", texts)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    running = sum(item.num_bytes for item in items if item.name in ("batch", "shared", "prefix cache"))
    assert peak < running
