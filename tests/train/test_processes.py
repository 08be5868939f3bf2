"""Two processes that a launcher started learn what one learns: the same steps, evaluations and files."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.train.example_file import write_examples
from qwen3_reranker.weights import read_entries
from testing.patience import PATIENCE_SECONDS
from tests.train.tuning import fifty

pytest.importorskip("accelerate")


def adapter(folder: Path) -> dict[str, np.ndarray]:
    path = folder / "model" / "adapter_model.safetensors"
    content = path.read_bytes()
    return {
        name: np.frombuffer(content, np.float32, entry.num_bytes // 4, entry.offset)
        for name, entry in read_entries(path).items()
    }


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path: Path, small_checkpoint: Path) -> None:
    write_examples(tmp_path / "data.jsonl", fifty())
    write_examples(tmp_path / "held-out.jsonl", fifty(2, count=7))
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    for name, before in (("one", []), ("two", launch)):
        subprocess.run(
            [
                *(sys.executable, *before, "-m", "qwen3_reranker", "train", "run", str(tmp_path / "data.jsonl")),
                *("--output", str(tmp_path / name), "--model", str(small_checkpoint), "--device", "cpu"),
                *("--evaluate", str(tmp_path / "held-out.jsonl"), "--steps", "4", "--rate", "1e-3", "--batch", "5"),
            ],
            check=True,
            timeout=2 * PATIENCE_SECONDS,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert np.allclose(values, two[name], atol=2e-5), name
    tables = [np.loadtxt(tmp_path / name / "evaluations.csv", delimiter=",", skiprows=1) for name in ("one", "two")]
    assert np.allclose(*tables, atol=1e-4)
    assert len(tables[0]) > 1
