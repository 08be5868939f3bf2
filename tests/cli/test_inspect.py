"""`inspect` tells what the files say, and a need of memory that holds."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.memory import memory_needed
from tests.cli.conftest import Run
from tests.testing.checkpoints import write_checkpoint


def test_json_holds_what_the_reranker_runs(run: Run, model: str) -> None:
    found = json.loads(run("inspect", model).out)
    with Reranker(model) as reranker:
        assert found["config"]["num_hidden_layers"] == reranker.config.num_hidden_layers
        assert found["parameters"] == reranker.config.num_parameters
        assert found["tensors"] == {"F32": len(reranker.checkpoint.tensors)}
        assert found["files"] == {"model.safetensors": (Path(model) / "model.safetensors").stat().st_size}
        assert found["head"]["tensor"] == reranker.checkpoint.head_tensor.name
        assert (found["head"]["yes_id"], found["head"]["no_id"]) == (reranker.tokens.yes_id, reranker.tokens.no_id)
        assert found["tokenizer"]["prefix_tokens"] == len(reranker.tokens.prefix_ids)
        assert found["memory"]["max_length"] == reranker.tokens.max_length
    assert found["memory"]["total_bytes"] == sum(item["num_bytes"] for item in found["memory"]["items"])


def test_the_table_names_every_part_on_one_screen(run: Run, model: str) -> None:
    shown = run("inspect", model, "--format", "table").out
    for words in ("Network", "Head", "Tokenizer", "Memory at most", "token ", "model.embed_tokens.weight", "together"):
        assert words in shown
    assert shown.count("\n") < 40
    assert "\x1b" not in shown


def test_a_shorter_length_and_smaller_batches_need_less(run: Run, model: str) -> None:
    usual = json.loads(run("inspect", model).out)["memory"]["total_bytes"]
    small = json.loads(run("inspect", model, "--max-length", "512", "--max-batch-tokens", "256").out)["memory"]
    assert small["total_bytes"] < usual
    too_long = run("inspect", model, "--max-length", "50000")
    assert too_long.code == 2
    assert "40960" in too_long.err


@pytest.mark.parametrize(("documents", "words"), [(20, 40), (1, 1000)], ids=["many short", "few long"])
def test_a_run_stays_within_the_memory_that_was_named(model: str, tmp_path: Path, documents: int, words: int) -> None:
    folder = write_checkpoint(
        tmp_path / "wider",
        hidden_size=128,
        intermediate_size=512,
        num_attention_heads=4,
        head_dim=32,
        tokenizer_file=Path(model) / "tokenizer.json",
    )
    texts = [str(number) + " x" * words for number in range(documents)]
    with Reranker(str(folder), max_batch_tokens=1024) as reranker:
        limit, entries = reranker.tokens.max_length, reranker.tokens.num_entries
        items = memory_needed(reranker.config, reranker.options, limit, entries)
        tracemalloc.start()
        try:
            reranker.rank("q", texts)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    running = sum(item.num_bytes for item in items if item.name in ("batch", "shared", "prefix cache"))
    assert peak < running
