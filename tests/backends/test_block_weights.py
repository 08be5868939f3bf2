"""Weights stored in blocks: in memory as float32 or bfloat16, and Q8_0 in 8 bits as the file has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.kernels import make_transformer, native_module
from qwen3_reranker.backends.cpu.layer_weights import (
    GROUP,
    Q8_0_GROUP,
    all_matrices,
    int8_arrays,
    int8_group,
    stored_layers,
    stored_matrix,
)
from qwen3_reranker.backends.cpu.memory import memory_needed
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.weights import Checkpoint, open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.kernel_variants import VARIANTS

pytestmark = pytest.mark.slow

# Outputs of a micropanel (kInt8NR in native/kernels/kernels.h).
NR = 64
PREFIX = np.arange(100, 111, dtype=np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Widths that are whole blocks of 32, and no multiple of a panel or of our own group.
    shape = {"hidden_size": 160, "intermediate_size": 224, "num_attention_heads": 4, "head_dim": 24}
    return write_checkpoint(tmp_path_factory.mktemp("model"), initializer_range=0.08, **shape)


@pytest.fixture(scope="module")
def q8_0(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_gguf(tmp_path_factory.mktemp("gguf") / "x.gguf", folder, kind="Q8_0"))


@pytest.fixture(scope="module")
def mixed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    kinds = {"blk.0.attn_k.weight": "BF16", "blk.1.ffn_up.weight": "Q5_1"}
    return open_checkpoint(write_gguf(tmp_path_factory.mktemp("gguf") / "x.gguf", folder, kind="Q8_0", kinds=kinds))


def some_rows(seed: int, count: int = 8) -> Plan:
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        ids = np.concatenate((PREFIX, random.integers(0, 320, int(random.integers(5, 60))))).astype(np.int32)
        rows.append(Row(ids, (len(PREFIX),), Receipt(0, 0, 0, 0)))
    return plan.build(rows, 4)


def states(checkpoint: Checkpoint, precision: str, built: Plan, **options: object) -> np.ndarray:
    settings = {"max_batch_tokens": 4096, "prefix_cache_tokens": 0, **options}
    return run_all(
        CpuBackend(checkpoint, precision=precision, constant_prefix=PREFIX, **settings).steps(built)
    ).hidden_ND


def error(ours: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square; the states themselves have one of 1."""
    return float(np.sqrt(np.mean((ours - exact) ** 2)))


def test_8_bit_matrices_of_q8_0_hold_every_weight_as_the_file_does(q8_0: Checkpoint) -> None:
    transformer = make_transformer(q8_0.config, VARIANTS[0], 1)
    arrays = int8_arrays(q8_0, DiskCache(q8_0, enabled=False), transformer)
    assert int8_group(q8_0) == Q8_0_GROUP
    for tensor in all_matrices(q8_0):
        outputs, inputs = tensor.shape
        values, scales = arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
        digits_PGFNI = values.reshape(-1, inputs // 32, 8, NR, 4).astype(np.float32) - 128
        weights = digits_PGFNI * scales.reshape(-1, inputs // 32, 1, NR, 1)
        whole = weights.transpose(0, 3, 1, 2, 4).reshape(-1, inputs)
        np.testing.assert_array_equal(whole[:outputs], tensor.read())
        assert not whole[outputs:].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_q8_0_in_8_bits_is_off_by_the_rounding_of_activations_alone(
    variant: str, q8_0: Checkpoint, folder: Path
) -> None:
    built = some_rows(1)
    exact = run_all(ReferenceBackend(q8_0).steps(built)).hidden_ND
    one, two = (error(states(q8_0, precision, built, kernels=variant), exact) for precision in ("int8", "int8x2"))
    # An activation's second digit leaves 1/254 of what the first does.
    assert 1e-5 < one < 0.03
    assert two < one / 50
    plain = open_checkpoint(folder)
    rounded_too = error(
        states(plain, "int8", built, kernels=variant), run_all(ReferenceBackend(plain).steps(built)).hidden_ND
    )
    assert one < 0.8 * rounded_too


def test_a_matrix_in_another_type_makes_all_of_them_be_rounded(mixed: Checkpoint) -> None:
    assert int8_group(mixed) == GROUP
    built = some_rows(2)
    exact = run_all(ReferenceBackend(mixed).steps(built)).hidden_ND
    assert error(states(mixed, "int8", built), exact) < 0.04


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8", "int8x2"])
def test_neighbours_splitting_and_threads_do_not_change_a_bit(precision: str, q8_0: Checkpoint) -> None:
    built = some_rows(3)
    together = states(q8_0, precision, built)
    assert np.array_equal(together, states(q8_0, precision, built, max_batch_tokens=20, num_threads=3))


def test_float32_runs_on_the_values_of_the_blocks(mixed: Checkpoint) -> None:
    built = some_rows(4)
    exact = run_all(ReferenceBackend(mixed).steps(built)).hidden_ND
    np.testing.assert_allclose(states(mixed, "float32", built), exact, atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_is_the_same_whether_weights_are_rounded_when_they_are_read_or_multiplied(
    variant: str, mixed: Checkpoint
) -> None:
    transformer = make_transformer(mixed.config, variant, 1)
    for tensor in all_matrices(mixed):
        x = np.random.default_rng(6).standard_normal((9, tensor.shape[1])).astype(np.float32)
        wide = native_module().stored_matrix(tensor.read().view(np.uint8).reshape(-1), 2, *tensor.shape, 1)
        products = [np.empty((9, tensor.shape[0]), np.float32) for _ in range(2)]
        for matrix, out in zip((stored_matrix(tensor, "bfloat16"), wide), products, strict=True):
            transformer.multiply(matrix, x, out)
        assert np.array_equal(*products), tensor.name


def test_layers_that_are_not_kept_are_the_same_layers_made_anew(mixed: Checkpoint) -> None:
    passing, kept = stored_layers(mixed, keep=False), stored_layers(mixed)
    assert kept[0] is kept[0]
    assert passing[0] is not passing[0]
    for layers in (passing, kept):
        layers.check_files()
        layers.clear()
        with pytest.raises(IndexError):
            layers[0]


def test_the_memory_stated_for_layers_is_that_of_the_form_they_run_in(q8_0: Checkpoint, mixed: Checkpoint) -> None:
    def layers(checkpoint: Checkpoint, precision: str) -> tuple[int, str]:
        options = EngineOptions(precision=precision)
        items = memory_needed(checkpoint, options, max_length=64, tokenizer_entries=320, prefix_tokens=11)
        return next((item.num_bytes, item.reason) for item in items if item.name == "layers")

    values = sum(int(np.prod(tensor.shape)) for tensor in all_matrices(q8_0))
    assert layers(q8_0, "float32") == (4 * values, "weights of 2 layers read from Q8_0 into float32")
    assert layers(q8_0, "bfloat16") == (2 * values, "weights of 2 layers read from Q8_0 into bfloat16")
    assert "every 32 of them" in layers(q8_0, "int8")[1]
    assert "every 64 of them" in layers(mixed, "int8")[1]
    assert "BF16, Q5_1, Q8_0" in layers(mixed, "float32")[1]
