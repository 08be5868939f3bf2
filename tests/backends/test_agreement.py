"""Every backend gives the reference's logits, whatever the neighbours, the order, the splitting and the sharing."""

import functools
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker import plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.backends.torch import TorchBackend, load
from qwen3_reranker.records import Row
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.rows import NO_RECEIPT, tree_rows

SHAPES = {
    "heads share keys 2 to 1": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "heads share keys 4 to 1, untied": {"num_attention_heads": 8, "num_key_value_heads": 2, "tied": False},
    "one key head, wide head_dim, one layer": {
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 24,
        "num_hidden_layers": 1,
    },
    "as many key heads as heads, float16": {"num_attention_heads": 2, "num_key_value_heads": 2, "dtype": "F16"},
}


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("shape"), initializer_range=0.2, **SHAPES[request.param])


@pytest.fixture(scope="module")
def reference(folder: Path) -> ReferenceBackend:
    return ReferenceBackend(open_checkpoint(str(folder)))


class Cpu:
    """Makes cpu backends on one kind of kernels."""

    def __init__(self, kernels: str) -> None:
        self.kernels = kernels

    def __call__(
        self,
        folder: Path,
        max_batch_tokens: int = 4096,
        prefix_cache_tokens: int = 0,
        num_threads: int | None = None,
        precision: str = "float32",
        constant_prefix: np.ndarray | None = None,
    ) -> CpuBackend:
        return CpuBackend(
            open_checkpoint(str(folder)),
            max_batch_tokens=max_batch_tokens,
            prefix_cache_tokens=prefix_cache_tokens,
            num_threads=num_threads,
            precision=precision,
            kernels=self.kernels,
            constant_prefix=constant_prefix,
        )

    def same(self, ours: np.ndarray, theirs: np.ndarray) -> bool:
        """The kernels add every sum in one order, so they give the same bits."""
        return np.array_equal(ours, theirs)


class Torch:
    """Makes torch backends on the processor with one kernel of attention; each checkpoint is loaded once."""

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel
        self.load = functools.cache(lambda folder: load(open_checkpoint(str(folder)), torch.device("cpu"), merged=True))

    def __call__(
        self,
        folder: Path,
        max_batch_tokens: int = 4096,
        prefix_cache_tokens: int = 0,
        num_threads: int | None = None,
    ) -> TorchBackend:
        return TorchBackend(
            self.load(folder),
            max_batch_tokens=max_batch_tokens,
            prefix_cache_tokens=prefix_cache_tokens,
            kernel=self.kernel,
            num_threads=num_threads,
        )

    def same(self, ours: np.ndarray, theirs: np.ndarray) -> bool:
        """torch adds in another order for another number of rows, and for other padding."""
        return close(ours, theirs)


Maker = Cpu | Torch
CPU_KERNELS = native_module().variants()


@pytest.fixture(scope="module", params=CPU_KERNELS)
def cpu(request: pytest.FixtureRequest) -> Cpu:
    return Cpu(request.param)


@pytest.fixture(scope="module", params=[*CPU_KERNELS, pytest.param("torch sdpa", marks=pytest.mark.slow)])
def fast(request: pytest.FixtureRequest) -> Maker:
    backend, _, kernel = request.param.rpartition(" ")
    return Torch(kernel) if backend else Cpu(kernel)


Whole = Callable[[int, int, int], np.ndarray]


@pytest.fixture(scope="module")
def whole(fast: Maker, folder: Path) -> Whole:
    """The states of the rows of a seed, a count and a longest document, in one batch and without a cache."""
    backend = fast(folder)
    return functools.cache(lambda *rows: run_all(backend.steps(plan.build(tree_rows(*rows), 4))).hidden_ND)


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-5) -> bool:
    # Final states have a root mean square near 1, so this is an absolute error on a scale of 1.
    return bool(np.abs(ours - theirs).max() < tolerance)


@pytest.mark.parametrize("longest", [0, 5, 120])
def test_every_fast_backend_agrees_with_the_reference_in_float64(
    fast: Maker, folder: Path, reference: ReferenceBackend, longest: int
) -> None:
    built = plan.build(tree_rows(longest, 9, longest), 4)
    run = run_all(fast(folder).steps(built))
    assert run.computed_tokens == built.num_tokens < built.num_row_tokens
    assert close(run.hidden_ND, run_all(reference.steps(built)).hidden_ND)


def test_the_reference_in_float32_agrees_with_float64(folder: Path, reference: ReferenceBackend) -> None:
    built = plan.build(tree_rows(1, 5, 60))
    single = run_all(ReferenceBackend(open_checkpoint(str(folder)), np.float32).steps(built))
    assert single.hidden_ND.dtype == np.float32
    assert close(single.hidden_ND, run_all(reference.steps(built)).hidden_ND)


@pytest.mark.parametrize("max_batch_tokens", [1, 7, 64, 100])
def test_splitting_does_not_move_a_state(fast: Maker, folder: Path, whole: Whole, max_batch_tokens: int) -> None:
    built = plan.build(tree_rows(2, 8, 40), 4)
    assert fast.same(run_all(fast(folder, max_batch_tokens).steps(built)).hidden_ND, whole(2, 8, 40))


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_the_number_of_threads_does_not_move_a_state(fast: Maker, folder: Path, whole: Whole, num_threads: int) -> None:
    built = plan.build(tree_rows(9, 30, 60), 4)
    one = fast(folder, num_threads=num_threads)
    assert fast.same(run_all(one.steps(built)).hidden_ND, whole(9, 30, 60))
    one.close()


@pytest.mark.parametrize("least", [1, 3, 1000])
def test_sharing_does_not_move_a_state(fast: Maker, folder: Path, least: int) -> None:
    some = tree_rows(3, 8, 40)
    shared, apart = plan.build(some, least), plan.build(some, 10_000)
    assert shared.num_tokens <= apart.num_tokens
    assert fast.same(run_all(fast(folder).steps(shared)).hidden_ND, run_all(fast(folder).steps(apart)).hidden_ND)


def test_neighbours_and_order_do_not_move_a_state(fast: Maker, folder: Path) -> None:
    some = tree_rows(4, 8, 40)
    together = run_all(fast(folder).steps(plan.build(some, 4))).hidden_ND
    backwards = run_all(fast(folder).steps(plan.build(some[::-1], 4))).hidden_ND[::-1]
    alone = np.concatenate([run_all(fast(folder).steps(plan.build([each], 4))).hidden_ND for each in some])
    assert fast.same(together, backwards)
    assert fast.same(together, alone)


def test_equal_rows_get_equal_states_to_the_bit(fast: Maker, folder: Path) -> None:
    hidden = run_all(fast(folder).steps(plan.build(tree_rows(5, 6, 40), 4))).hidden_ND
    assert np.array_equal(hidden[:2], hidden[-2:])


def test_the_reference_gives_a_row_the_same_bits_alone_and_among_others(reference: ReferenceBackend) -> None:
    some = tree_rows(6, 4, 30)
    together = run_all(reference.steps(plan.build(some))).hidden_ND
    assert np.array_equal(together[1], run_all(reference.steps(plan.build([some[1]]))).hidden_ND[0])


def test_runs_whose_steps_alternate_do_not_move_a_state(fast: Maker, folder: Path, whole: Whole) -> None:
    backend = fast(folder, 64, prefix_cache_tokens=100)
    runs = {seed: backend.steps(plan.build(tree_rows(seed, 8, 40), 4)) for seed in (21, 22)}
    found, steps = {}, 0
    while runs:
        for seed, run in list(runs.items()):
            steps += 1
            try:
                next(run)
            except StopIteration as ended:
                found[seed] = ended.value.hidden_ND
                del runs[seed]
    assert steps > 4
    for seed, hidden_ND in found.items():
        assert fast.same(hidden_ND, whole(seed, 8, 40))


def test_a_run_that_is_closed_early_leaves_the_backend_as_it_was(fast: Maker, folder: Path, whole: Whole) -> None:
    backend = fast(folder, 64)
    begun = backend.steps(plan.build(tree_rows(21, 8, 40), 4))
    next(begun)
    begun.close()
    assert fast.same(run_all(backend.steps(plan.build(tree_rows(22, 8, 40), 4))).hidden_ND, whole(22, 8, 40))


def test_what_is_kept_for_one_owner_is_computed_anew_for_another(fast: Maker, folder: Path) -> None:
    backend = fast(folder, prefix_cache_tokens=1000)
    some = tree_rows(7, 6, 30)
    owned = {owner: plan.build([replace(row, cache_salt=owner) for row in some], 4) for owner in (1, 2)}
    run_all(backend.steps(owned[1]))
    again, other = run_all(backend.steps(owned[1])), run_all(backend.steps(owned[2]))
    assert other.cached_tokens == 11  # the prefix of every row
    assert again.cached_tokens > other.cached_tokens
    assert fast.same(again.hidden_ND, other.hidden_ND)


@pytest.mark.parametrize("max_batch_tokens", [9, 4096])
def test_a_cached_prefix_is_not_computed_again_and_does_not_move_a_state(
    fast: Maker, folder: Path, max_batch_tokens: int
) -> None:
    first, second = plan.build(tree_rows(7, 6, 30), 4), plan.build(tree_rows(7, 12, 30), 4)
    caching = fast(folder, max_batch_tokens, prefix_cache_tokens=1000)
    assert run_all(caching.steps(first)).cached_tokens == 0
    again = run_all(caching.steps(first))
    assert again.cached_tokens == sum(len(first.tokens(each)) for each in np.flatnonzero(first.reusable_S))
    assert again.computed_tokens == first.num_tokens - again.cached_tokens
    assert fast.same(again.hidden_ND, run_all(fast(folder).steps(first)).hidden_ND)
    later = run_all(caching.steps(second))
    assert later.cached_tokens >= 11
    assert fast.same(later.hidden_ND, run_all(fast(folder).steps(second)).hidden_ND)


def test_a_prefix_that_another_plan_cut_elsewhere_is_not_taken_for_the_same_segment(fast: Maker, folder: Path) -> None:
    opening, first, second = list(range(10, 20)), [1, 2, 3], [4, 5, 6]
    caching = fast(folder, prefix_cache_tokens=1000)
    some = [
        Row(np.array([*opening, *query, tail], dtype=np.int32), (13,), NO_RECEIPT)
        for query in (first, second)
        for tail in (7, 8)
    ]
    # Together, the rows part after the opening; alone, opening and query are one segment.
    run_all(caching.steps(plan.build(some)))
    alone = plan.build(some[:2])
    assert close(run_all(caching.steps(alone)).hidden_ND, run_all(fast(folder).steps(alone)).hidden_ND)


def test_the_least_recently_used_entry_goes_first_and_a_shared_ancestor_last(fast: Maker, folder: Path) -> None:
    prefix = list(range(10))
    plans = {
        name: plan.build([Row(np.array([*prefix, name, name, 9], dtype=np.int32), (10, 12), NO_RECEIPT)])
        for name in (20, 30, 40)
    }
    caching = fast(folder, prefix_cache_tokens=14)  # the prefix and two heads
    for name in (20, 30, 20, 40):
        run_all(caching.steps(plans[name]))
    assert [run_all(caching.steps(plans[name])).cached_tokens for name in (20, 40)] == [12, 12]
    assert run_all(caching.steps(plans[30])).cached_tokens == 10


def test_a_run_of_many_queries_holds_no_more_than_a_batch_and_the_cache(cpu: Cpu, folder: Path) -> None:
    random = np.random.default_rng(0)

    def peak(queries: int) -> int:
        heads = random.integers(0, 320, (queries, 40))
        some = [Row(np.append(head, 1).astype(np.int32), (40,), NO_RECEIPT) for head in heads]
        backend, built = cpu(folder, 256, prefix_cache_tokens=100, num_threads=1), plan.build(some)
        tracemalloc.start()
        try:
            run_all(backend.steps(built))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # What the first run of a process leaves behind, such as imports, is not the run's.
    peak(1)
    # Keys and values of 80 more heads would be 0.8 MB at least; what may grow are the plan and the results.
    assert peak(120) - peak(40) < 80 * (32 * 4 + 40 * 4 * 12 + 1000)


def test_of_a_batch_full_of_queries_only_those_that_the_cache_will_hold_get_room(cpu: Cpu, folder: Path) -> None:
    random = np.random.default_rng(0)
    prefix = random.integers(0, 320, 10)
    heads = [np.concatenate((prefix, random.integers(0, 320, 40))) for _ in range(40)]
    some = [Row(np.append(head, 1).astype(np.int32), (10, 50), NO_RECEIPT) for head in heads]
    built = plan.build(some)

    def peak(prefix_cache_tokens: int) -> int:
        backend = cpu(folder, 4096, prefix_cache_tokens=prefix_cache_tokens, num_threads=1)
        run_all(backend.steps(plan.build(some[:1])))
        tracemalloc.start()
        try:
            run_all(backend.steps(built))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 1,610 tokens have keys and values, and 90 of them are the prefix and two heads. Threads would blur the peak.
    config = open_checkpoint(str(folder)).config
    a_token = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim * 4
    assert peak(2000) - peak(90) > 1400 * a_token
    caching = cpu(folder, 4096, prefix_cache_tokens=90)
    run_all(caching.steps(built))
    # The tree's last head, which is the cache's latest; running it alone moves nothing out.
    last = max(some, key=lambda row: row.ids.tolist())
    assert run_all(caching.steps(plan.build([last]))).cached_tokens == 50
    assert caching._prefix_cache._held_tokens == 90


# Ten for each pair of a shape and kernels, which share the cache: two hundred in all.
@settings(max_examples=10)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), bound=st.integers(0, 30))
def test_a_small_cache_forgets_and_stays_right(
    fast: Maker, folder: Path, whole: Whole, sizes: list[int], bound: int
) -> None:
    caching = fast(folder, 16, bound)
    for number, size in enumerate(sizes):
        built = plan.build(tree_rows(number % 3, 3, size), 4)
        assert fast.same(run_all(caching.steps(built)).hidden_ND, whole(number % 3, 3, size))
    assert caching._prefix_cache._held_tokens <= bound


def test_progress_rises_to_one(fast: Maker, folder: Path, reference: ReferenceBackend) -> None:
    built = plan.build(tree_rows(8, 5, 30), 4)
    for backend in (fast(folder, 20), reference):
        shares: list[float] = []
        run_all(backend.steps(built, shares.append))
        assert shares == sorted(shares)
        assert shares[0] > 0
        assert shares[-1] == pytest.approx(1)


def test_no_rows_give_no_states(fast: Maker, folder: Path, reference: ReferenceBackend) -> None:
    for backend in (fast(folder), reference):
        assert run_all(backend.steps(plan.build([]))).hidden_ND.shape == (0, 32)
