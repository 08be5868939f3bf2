"""What is said beforehand of a workload's memory holds when it runs, and is not far from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.core import SHAPE_0_6B
from qwen3_reranker.backends.torch.memory import device_memory_needed
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import WorkloadShape, workload_plan
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint

MIB = 1 << 20
PROGRAM = """
import sys
from pathlib import Path
import torch
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.torch import TorchBackend, load
from qwen3_reranker.backends.torch.memory import device_memory_needed
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import WorkloadShape, workload_plan
from qwen3_reranker.weights import open_checkpoint

COUNTED = ("batch", "shared", "results", "compiled code")

def resident(name):
    return int(Path("/proc/self/status").read_text().split(name)[1].split()[0]) * 1024

folder, precision, batch_tokens, *numbers = sys.argv[1:]
checkpoint = open_checkpoint(folder)
engine = {"backend": "torch", "device": "cpu", "prefix_cache_tokens": 0}
options = EngineOptions(precision=precision, max_batch_tokens=int(batch_tokens), **engine)
template = {"prefix_tokens": 39, "query_prefix_tokens": 35, "suffix_tokens": 9, "max_length": 40960}
plan = workload_plan(WorkloadShape(*map(int, numbers)), **template)
network = load(checkpoint, torch.device("cpu"), getattr(torch, precision), merged=True)
backend = TorchBackend(network, max_batch_tokens=int(batch_tokens), prefix_cache_tokens=0)
run_all(backend.steps(workload_plan(WorkloadShape(1, 1, 5), **template)))
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS:")
run_all(backend.steps(plan))
items = device_memory_needed(checkpoint.config, options, plan)
print(resident("VmHWM:") - before, sum(each.num_bytes for each in items if each.name in COUNTED))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {**SHAPE_0_6B, "vocab_size": 1000, "num_hidden_layers": 2, "dtype": "BF16"}
    return write_checkpoint(tmp_path_factory.mktemp("wide"), **shape)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("precision", "batch_tokens", "workload"),
    [
        ("float32", 4096, (1, 100, 20)),
        ("float32", 16_384, (1, 1, 5000)),
        ("bfloat16", 2048, (2, 7, 300)),
        ("bfloat16", 16_384, (1, 1, 8_000)),
    ],
    ids=str,
)
def test_a_workload_takes_what_was_said_and_at_least_half_of_it(
    folder: Path, precision: str, batch_tokens: int, workload: tuple[int, ...]
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(folder), precision, str(batch_tokens), *map(str, workload)]
    # Freed memory goes back to the system at once, so that what is resident is what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    taken, said = map(int, done.stdout.split())
    assert taken < said + 16 * MIB
    assert said < 2 * taken + 32 * MIB


def test_what_a_processor_compiles_is_counted_for_each_shape_in_16_bits_and_on_no_other_device(
    small_checkpoint: Path,
) -> None:
    config = open_checkpoint(str(small_checkpoint)).config
    plan = workload_plan(
        WorkloadShape(1, 7, 50), prefix_tokens=39, query_prefix_tokens=35, suffix_tokens=9, max_length=8192
    )

    def compiled(**options: str) -> int:
        items = device_memory_needed(config, EngineOptions(backend="torch", **options), plan)
        return sum(item.num_bytes for item in items if item.name == "compiled code")

    in_16_bits = compiled(device="cpu", precision="bfloat16")
    assert in_16_bits == compiled(device="cpu", precision="float16") > 0
    assert compiled(device="cpu", precision="float32") == compiled(device="cuda:1", precision="bfloat16") == 0
