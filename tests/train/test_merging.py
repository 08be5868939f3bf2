"""Merged weights are the formulas' in float64, streamed, of adapters too, and serve as any checkpoint."""

import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.train.merging import merge, slerp_shares
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint, write_small_checkpoint
from testing.tokenizer import NANO_TOKENIZER


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("three")
    return [write_small_checkpoint(folder / str(seed), initializer_range=0.2, seed=seed) for seed in range(3)]


def read(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.read(np.float64) for name, tensor in open_checkpoint(folder).tensors.items()}


def slerp(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """The textbook's, on whole vectors."""
    cosine = float((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))
    angle = math.acos(cosine)
    return (math.sin((1 - share) * angle) * first + math.sin(share * angle) * second) / math.sin(angle)


@pytest.mark.slow
def test_an_average_is_the_weighted_mean_and_slerp_the_textbook_s_one_after_the_other(
    three: list[Path], tmp_path: Path
) -> None:
    models = [read(folder) for folder in three]
    for method, shares in (("average", [1.0, 2.0, 1.0]), ("slerp", None)):
        convert(merge(three, method, shares), tmp_path / method, "hf")
        found = read(tmp_path / method)
        assert found.keys() == models[0].keys()
        for name, values in found.items():
            a, b, c = (model[name] for model in models)
            if method == "average":
                expected = (a + 2 * b + c) / 4
            elif a.ndim == 1:
                expected = (a + b + c) / 3
            else:
                expected = slerp(slerp(a, b, 1 / 2), c, 1 / 3)
            assert np.allclose(values, expected, rtol=1e-6, atol=1e-7), name
    with Reranker(tmp_path / "slerp", disk_cache=False) as reranker:
        assert len(reranker.rank("river", ["a", "b"])) == 2


def test_slerp_of_equal_vectors_is_that_vector_and_keeps_the_length_of_unlike_ones() -> None:
    equal = np.ones((2, 2))
    assert slerp_shares(equal, np.array([0.3, 0.7])).sum() == pytest.approx(1.0)
    square = np.eye(2)
    shares = slerp_shares(square, np.array([0.5, 0.5]))
    assert shares @ square @ shares == pytest.approx(1.0)


@pytest.mark.slow
def test_no_two_models_are_ever_in_memory(three: list[Path], tmp_path: Path) -> None:
    large = [
        write_checkpoint(
            tmp_path / str(seed),
            vocab_size=120_000,
            hidden_size=256,
            seed=seed,
            tokenizer_file=NANO_TOKENIZER,
            dtype="BF16",
        )
        for seed in (1, 2)
    ]
    tracemalloc.start()
    convert(merge(large), tmp_path / "merged", "hf", "bf16")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "merged" / "model.safetensors").stat().st_size > 61e6
    assert peak < 61e6, "a slab in float64, and the tokenizer; one model as stored is 61e6"


def test_models_that_do_not_fit_are_refused(three: list[Path], tmp_path: Path) -> None:
    other = write_small_checkpoint(tmp_path / "other", hidden_size=64)
    with pytest.raises(CheckpointError, match="shape differs"):
        merge([three[0], other])
    with pytest.raises(InputError, match="two models"):
        merge(three[:1])
    with pytest.raises(InputError, match="2 numbers above 0"):
        merge(three[:2], shares=[1.0, 0.0])
    with pytest.raises(InputError, match="average"):
        merge(three[:2], "ties")
    assert replace(open_checkpoint(three[0])).layout == "causal-lm"
