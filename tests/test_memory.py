"""Memory grows with max_batch_tokens and not with the work: weights and one GiB rank a hundred long documents."""

from pathlib import Path

import pytest

from benchmarks.core import LAYERS_0_6B, SHAPE_0_6B, peak_memory
from tests.testing.checkpoints import write_checkpoint

GIB = 2**30
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc"),
]


def test_a_network_of_the_shape_of_0_6b_ranks_within_its_weights_on_disk_and_one_gib(
    tmp_path: Path, qwen3_tokenizer_file: Path
) -> None:
    # Ten documents of 500 tokens fill a batch; the next test shows that more of them take no more.
    shape = {**SHAPE_0_6B, "num_hidden_layers": LAYERS_0_6B, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    weights, peak = peak_memory(folder, 10)
    assert peak < weights + GIB


def test_a_hundred_documents_take_no_more_than_ten(tmp_path: Path, qwen3_tokenizer_file: Path) -> None:
    shape = {**SHAPE_0_6B, "num_hidden_layers": 2, "dtype": "BF16"}
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=qwen3_tokenizer_file, **shape)
    _, ten = peak_memory(folder, 10)
    _, hundred = peak_memory(folder, 100)
    assert hundred < ten + 32 * 2**20
