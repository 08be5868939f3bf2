"""Memory grows with max_batch_tokens and not with the work: weights and one GiB rank any number of long documents."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.core import LAYERS_0_6B, SHAPE_0_6B, peak_memory
from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.memory import memory_needed
from testing.checkpoints import write_checkpoint

GIB = 2**30
PROGRAM = """
import json, sys
from pathlib import Path
from benchmarks.core import QUERY, documents
from qwen3_reranker import Reranker

folder, count, options = sys.argv[1:]
with Reranker(folder, **json.loads(options)) as reranker:
    reranker.rank(QUERY, documents(200, int(count)))
    # Queries that fill the prefix cache and more.
    reranker.logits([(query, "document") for query in documents(150, 12)])
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc"),
]


def test_a_network_of_the_shape_of_0_6b_ranks_within_its_weights_on_disk_and_one_gib(
    tmp_path: Path, qwen3_tokenizer_file: Path
) -> None:
    # Seven documents of 500 tokens fill a batch; the next test shows that more of them take no more.
    shape = {**SHAPE_0_6B, "num_hidden_layers": LAYERS_0_6B, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    weights, peak = peak_memory(folder, 8)
    assert peak < weights + GIB


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_forty_documents_take_no_more_than_ten_once_both_fill_a_batch(
    tmp_path: Path, qwen3_tokenizer_file: Path, precision: str
) -> None:
    shape = {**SHAPE_0_6B, "num_hidden_layers": 2, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    options = {"precision": precision, "max_batch_tokens": 1024}
    # The first start also rounds the weights to 8 bits.
    peak_while_ranking(folder, 1, options)
    ten = peak_while_ranking(folder, 10, options)
    forty = peak_while_ranking(folder, 40, options)
    # Keys and values of 30 documents would be 94 MiB; the allocator's own holes differ from run to run.
    assert forty < ten + 12 * 2**20


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_need_that_inspect_states_holds_for_a_run_that_fills_all_of_it_and_is_near_what_it_takes(
    tmp_path: Path, qwen3_tokenizer_file: Path, precision: str
) -> None:
    shape = {**SHAPE_0_6B, "num_hidden_layers": 4, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    options = {"precision": precision, "max_length": 320, "num_threads": 2}
    with Reranker(str(folder), plan_only=True, **options) as reranker:
        items = memory_needed(
            reranker.checkpoint,
            reranker.options,
            max_length=reranker.tokens.max_length,
            tokenizer_entries=reranker.tokens.num_entries,
            prefix_tokens=len(reranker.tokens.prefix_ids),
        )
    stated = sum(item.num_bytes for item in items)
    # The first start has the weights of one matrix at a time beside what it makes of them.
    first = peak_while_ranking(folder, 25, options)
    later = peak_while_ranking(folder, 25, options)
    assert max(first, later) < stated < 1.35 * later


def peak_while_ranking(folder: Path, documents: int, options: Mapping[str, object]) -> int:
    """Peak resident bytes of a process that opens a model and ranks documents of 200 tokens."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(documents), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return int(done.stdout) * 1024
