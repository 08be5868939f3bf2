"""Memory grows with max_batch_tokens and not with the work: weights and one GiB rank a hundred long documents."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.core import SHAPE_0_6B
from tests.testing.checkpoints import write_checkpoint

GIB = 2**30


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_a_hundred_documents_of_500_tokens_rank_within_the_weights_and_one_gib(
    tmp_path: Path, qwen3_tokenizer_file: Path
) -> None:
    # The widths of 0.6B, two of its layers: activations are those of the whole, and two cores finish in a minute.
    # `python -m benchmarks.core --layers 28` measures the whole.
    shape = {**SHAPE_0_6B, "num_hidden_layers": 2, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    command = [sys.executable, "-m", "benchmarks.core", "--rank-in", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    weights, peak = (int(number) for number in done.stdout.split())
    assert peak < weights + GIB
