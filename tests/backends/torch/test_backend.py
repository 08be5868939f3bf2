"""The torch backend through Reranker: precisions, devices, and memory that runs out."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3_reranker import InputError, Reranker, UnavailableError, plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.torch import TorchBackend, load
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.rows import tree_rows

QUERY = "how do I undo my last commit"
DOCUMENTS = [f"Document {number} says: git reset --soft HEAD~{number}" for number in range(12)]
PAIRS = [(QUERY, document) for document in DOCUMENTS]
TORCH = {"backend": "torch", "device": "cpu"}


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    return Reranker("nano").logits(PAIRS)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 1e-5),
        pytest.param({"max_batch_tokens": 20, "prefix_cache_tokens": 0}, 1e-5, marks=pytest.mark.slow),
        ({"precision": "bfloat16"}, 0.05),
        ({"precision": "float16"}, 0.01),
        pytest.param({"precision": "float8"}, 0.5, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_nano_scores_as_on_the_cpu_backend(exact: np.ndarray, options: dict[str, object], most: float) -> None:
    with Reranker("nano", **TORCH, **options) as reranker:
        first, again = reranker.logits(PAIRS), reranker.logits(PAIRS)
    assert np.abs(first - exact).max() < most
    assert np.abs(again - exact).max() < most


def test_a_device_that_is_not_there_is_an_error_and_nothing_else_is_used() -> None:
    missing = next(name for name in ("cuda", "mps") if not getattr(torch, name).is_available())
    with pytest.raises(UnavailableError, match=f"device '{missing}' is not there"):
        Reranker("nano", backend="torch", device=missing)
    for name in ("gpu", "cuda:x", "xpu", "", "cpu,cpu", "cuda:0,cuda:1"):
        with pytest.raises(InputError, match="unknown device"):
            Reranker("nano", backend="torch", device=name)
    with pytest.raises(InputError, match="belongs to the torch backend"):
        Reranker("nano", device="cpu")


def test_the_first_device_there_is_chosen_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "qwen3_reranker"), Reranker("nano", backend="torch") as reranker:
        assert isinstance(reranker.runner.backend, TorchBackend)
        kind = reranker.runner.backend.device.type
    assert f"device {kind}, the first that is there" in caplog.text


def test_threads_are_the_callers_own_again_after_a_run() -> None:
    before = torch.get_num_threads()
    during: list[int] = []
    with Reranker("nano", **TORCH, num_threads=1) as reranker:
        reranker.logits(PAIRS, on_progress=lambda _: during.append(torch.get_num_threads()))
    assert set(during) == {1}
    assert torch.get_num_threads() == before


def test_a_segment_longer_than_a_batch_is_one_batch_and_keeps_no_keys_of_it(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_checkpoint(tmp_path, initializer_range=0.2)))
    built = plan.build(tree_rows(1, 2, 400), 4)
    backend = TorchBackend(load(checkpoint, torch.device("cpu")), max_batch_tokens=64, prefix_cache_tokens=0)
    whole = TorchBackend(backend.network, max_batch_tokens=100_000, prefix_cache_tokens=0)
    assert max(np.diff(built.starts_S1)) > 64
    assert np.abs(run_all(backend.steps(built)).hidden_ND - run_all(whole.steps(built)).hidden_ND).max() < 1e-5


STARVED = """
import json, resource, sys
import numpy as np, torch
from qwen3_reranker import OutOfMemoryError, plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.torch import TorchBackend, load
from qwen3_reranker.weights import open_checkpoint
from testing.rows import tree_rows

torch.set_num_threads(1)
folder, spare = sys.argv[1], int(sys.argv[2])
backend = TorchBackend(load(open_checkpoint(folder), torch.device("cpu"), merged=True),
                       max_batch_tokens=100_000, prefix_cache_tokens=0)
built, small = plan.build(tree_rows(1, 60, 120), 4), plan.build(tree_rows(2, 2, 5), 4)
run_all(backend.steps(small))
expected = run_all(backend.steps(built)).hidden_ND
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + spare, resource.RLIM_INFINITY))
try:
    moved, said = float(np.abs(run_all(backend.steps(built)).hidden_ND - expected).max()), ""
except OutOfMemoryError as error:
    moved, said = None, str(error)
after = run_all(backend.steps(small)).hidden_ND
print(json.dumps({"moved": moved, "said": said, "after": bool(np.isfinite(after).all())}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_where_memory_runs_out_the_call_is_halved_once_and_then_fails_alone_with_numbers(tmp_path: Path) -> None:
    # Wide feed-forward blocks, so that a batch's own memory is large beside what a process holds on to.
    folder = write_checkpoint(
        tmp_path, hidden_size=64, intermediate_size=16_384, num_hidden_layers=2, initializer_range=0.1
    )

    def starve(spare: int) -> tuple[dict[str, object], str]:
        command = [sys.executable, "-c", STARVED, str(folder), str(spare)]
        # Freed memory goes back to the system, so that the limit is about what is in use.
        environment = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout), done.stderr

    halved, log = starve(650 << 20)
    assert halved["moved"] is not None, halved
    assert halved["moved"] < 1e-5
    assert "trying once more with" in log
    starved, _ = starve(100 << 20)
    assert starved["moved"] is None
    assert "out of memory on cpu in batches of" in str(starved["said"])
    assert re.search(r"could not have another \d+ bytes; weights take \d+\.\d\d GiB; lower", str(starved["said"]))
    assert starved["after"]


@pytest.mark.slow
def test_compiled_kernels_without_a_compiler_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    compilers = dict.fromkeys(("CC", "CXX"), str(tmp_path / "no-compiler"))
    command = [sys.executable, "-m", "qwen3_reranker", "rank", "q", "-", *("--backend", "torch", "--device", "cpu")]
    environment = {**os.environ, **empty, **compilers}
    run = functools.partial(subprocess.run, input="one\ntwo\n", capture_output=True, text=True, env=environment)
    refused = run([*command, "--kernels", "compiled"], check=False)
    # A slow machine may first read that the model is being opened.
    [error] = [line for line in refused.stderr.splitlines() if not line.startswith("note: ")]
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "use --kernels native" in error
    assert len(run(command, check=True).stdout.splitlines()) == 2
