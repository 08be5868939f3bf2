"""Below float32: near it, the same bits whatever the neighbours, and the constant prefix never rounded."""

import os
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.kernel_variants import VARIANTS, VARIANTS_OF_8_BITS

NO_RECEIPT = Receipt(0, 0, 0, 0)
PREFIX = np.arange(100, 111, dtype=np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Widths that are no multiple of a group or a panel.
    shape = {"hidden_size": 144, "intermediate_size": 200, "num_attention_heads": 6, "head_dim": 24}
    return write_checkpoint(tmp_path_factory.mktemp("model"), initializer_range=0.08, dtype="BF16", **shape)


def backend(folder: Path, precision: str, prefix: np.ndarray | None = PREFIX, **options: object) -> CpuBackend:
    settings = {"max_batch_tokens": 4096, "prefix_cache_tokens": 0, **options}
    return CpuBackend(open_checkpoint(str(folder)), precision=precision, constant_prefix=prefix, **settings)


def some_rows(seed: int, count: int = 8, longest: int = 60) -> list[Row]:
    random = np.random.default_rng(seed)
    heads = [random.integers(0, 320, 9), random.integers(0, 320, 5)]
    rows = []
    for index in range(count):
        head, document = heads[index % 2], random.integers(0, 320, int(random.integers(1, longest)))
        ids = np.concatenate((PREFIX, head, document)).astype(np.int32)
        rows.append(Row(ids, (len(PREFIX), len(PREFIX) + len(head)), NO_RECEIPT))
    return rows


def error(folder: Path, precision: str, built: Plan, **options: object) -> float:
    """Root mean square of the states' error; the states themselves have one of 1."""
    exact = run_all(ReferenceBackend(open_checkpoint(str(folder))).steps(built)).hidden_ND
    ours = run_all(backend(folder, precision, **options).steps(built)).hidden_ND
    return float(np.sqrt(np.mean((ours - exact) ** 2)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_eight_bits_come_near_float32_and_sixteen_bit_activations_nearer(folder: Path, variant: str) -> None:
    built = plan.build(some_rows(1), 4)
    one, two = (error(folder, precision, built, kernels=variant) for precision in ("int8", "int8x2"))
    # 8-bit rounding of a normal group of 64 moves a value by about 0.7 % of its spread, on both sides of each product.
    assert 1e-4 < two < one < 0.04
    if variant in VARIANTS_OF_8_BITS:
        assert two < 0.8 * one


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_comes_nearer_to_float32_than_8_bits_do(folder: Path, variant: str) -> None:
    built = plan.build(some_rows(1), 4)
    half, two = (error(folder, precision, built, kernels=variant) for precision in ("bfloat16", "int8x2"))
    # The checkpoint is in bfloat16, so activations alone are rounded: by 0.1 % on average.
    assert 1e-4 < half < 0.6 * two


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_variants_differ_in_bfloat16_by_no_more_than_its_rounding(folder: Path, variant: str) -> None:
    built = plan.build(some_rows(2), 4)
    first, other = (
        run_all(backend(folder, "bfloat16", kernels=name).steps(built)).hidden_ND for name in (VARIANTS[0], variant)
    )
    # Those that multiply in bfloat16 in attention too round once more.
    assert np.sqrt(np.mean((first - other) ** 2)) < 1.5 * error(folder, "bfloat16", built, kernels=variant)


@pytest.mark.parametrize("precision", ["int8", "int8x2"])
@pytest.mark.parametrize("variant", VARIANTS_OF_8_BITS[1:])
def test_variants_agree_with_one_another_far_below_the_rounding(folder: Path, variant: str, precision: str) -> None:
    built = plan.build(some_rows(2), 4)
    first, other = (
        run_all(backend(folder, precision, kernels=name).steps(built)).hidden_ND
        for name in (VARIANTS_OF_8_BITS[0], variant)
    )
    # A difference in the last bit of float32 may send a value to the next 8-bit step, rarely.
    assert np.sqrt(np.mean((first - other) ** 2)) < 0.3 * error(folder, precision, built, kernels=variant)


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int8x2"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_neighbours_order_splitting_and_threads_do_not_change_a_bit(folder: Path, variant: str, precision: str) -> None:
    some = some_rows(3)
    together = run_all(backend(folder, precision, kernels=variant).steps(plan.build(some, 4))).hidden_ND
    backwards = run_all(
        backend(folder, precision, kernels=variant, num_threads=3).steps(plan.build(some[::-1], 4))
    ).hidden_ND
    small = run_all(
        backend(folder, precision, kernels=variant, max_batch_tokens=20).steps(plan.build(some, 1))
    ).hidden_ND
    alone = backend(folder, precision, kernels=variant, num_threads=1)
    assert np.array_equal(together, backwards[::-1])
    assert np.array_equal(together, small)
    for index, row in enumerate(some):
        assert np.array_equal(together[index], run_all(alone.steps(plan.build([row], 4))).hidden_ND[0])


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "int8x2"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_cached_between_calls_does_not_change_a_bit(folder: Path, variant: str, precision: str) -> None:
    some = some_rows(7)
    caching = backend(folder, precision, kernels=variant, prefix_cache_tokens=30)
    first, again, one = (run_all(caching.steps(plan.build(rows, 4))) for rows in (some, some, some[3:4]))
    assert again.cached_tokens > first.cached_tokens
    assert np.array_equal(first.hidden_ND, again.hidden_ND)
    assert np.array_equal(first.hidden_ND[3], one.hidden_ND[0])


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_the_constant_prefix_is_computed_once_and_in_float32(folder: Path, precision: str) -> None:
    built = plan.build(some_rows(4), 4)
    rounding = backend(folder, precision)
    run = run_all(rounding.steps(built))
    assert run.cached_tokens == len(PREFIX)
    assert run.computed_tokens == built.num_tokens - len(PREFIX)
    exact = CpuBackend(open_checkpoint(str(folder)), max_batch_tokens=4096, prefix_cache_tokens=1000)
    run_all(exact.steps(built))
    kept = exact._prefix_cache.get(built, 0)
    assert rounding._constant_prefix is not None
    ours = rounding._constant_prefix.segment_kv(built, 0)
    assert kept is not None
    assert ours is not None
    assert np.array_equal(ours, kept)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_closing_ends_the_threads_and_drops_the_prefix(folder: Path, precision: str) -> None:
    before = len(os.listdir("/proc/self/task"))
    opened = backend(folder, precision, num_threads=4)
    run_all(opened.steps(plan.build(some_rows(6), 4)))
    assert len(os.listdir("/proc/self/task")) == before + 3
    opened.close()
    assert len(os.listdir("/proc/self/task")) == before
    assert opened._constant_prefix is None


def test_rows_that_begin_otherwise_or_end_within_the_prefix_are_run_as_well(folder: Path) -> None:
    rows = [
        Row(np.array(ids, dtype=np.int32), (), NO_RECEIPT)
        for ids in ([1, 2, 3], PREFIX[:4].tolist(), PREFIX.tolist(), [*PREFIX.tolist(), 5])
    ]
    built = plan.build(rows, 1)
    assert error(folder, "int8", built) < 0.05


def test_a_file_that_is_cut_while_its_model_is_open_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    opened = backend(folder, "float32", None)
    built = plan.build(some_rows(5, 2), 4)
    run_all(opened.steps(built))
    weights = folder / "model.safetensors"
    with open(weights, "r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    with pytest.raises(CheckpointError, match="changed since the checkpoint was opened"):
        run_all(opened.steps(built))
