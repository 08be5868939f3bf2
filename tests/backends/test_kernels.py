"""The compiled module refuses what would make it read or write where it must not, and never writes to a copy."""

from typing import Any

import numpy as np
import pytest
import qwen3_reranker_kernels as kernels


def stored(outputs: int, inputs: int) -> Any:
    values = np.random.default_rng(0).standard_normal((outputs, inputs)).astype(np.float32)
    return kernels.stored_matrix(values.view(np.uint8).reshape(-1), 2, outputs, inputs)


def transformer(**changes: int) -> Any:
    sizes = {"hidden": 32, "heads": 4, "num_kv_heads": 2, "head_dim": 8, **changes}
    return kernels.TransformerCpu(kernels.variants()[0], epsilon=1e-6, threads=1, **sizes)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 32), np.float64),
        np.zeros((32, 3), np.float32).T,
        np.zeros((3, 64), np.float32)[:, ::2],
    ],
    ids=["float64", "transposed", "strided"],
)
def test_a_result_is_never_written_to_a_copy(out: np.ndarray) -> None:
    with pytest.raises(TypeError):
        transformer().multiply(stored(32, 32), np.ones((3, 32), np.float32), out)


@pytest.mark.parametrize(("outputs", "inputs"), [(0, 4), (4, 0), (-1, -4), (1 << 62, 4), (1 << 30, 1 << 34)])
def test_a_matrix_without_a_possible_size_is_refused(outputs: int, inputs: int) -> None:
    with pytest.raises(ValueError, match=r"at least 1|do not fit"):
        kernels.stored_matrix(np.zeros(8, np.uint8), 0, outputs, inputs)
    with pytest.raises(ValueError, match=r"at least 1|do not fit"):
        kernels.int8_matrix(np.zeros(8, np.uint8), np.zeros(8, np.float32), outputs, inputs, 64, 1)


@pytest.mark.parametrize("changes", [{"num_kv_heads": 0}, {"heads": 3}, {"head_dim": -8}, {"hidden": 0}])
def test_a_transformer_without_a_possible_shape_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 1|multiple"):
        transformer(**changes)


def batch(**changes: Any) -> dict[str, Any]:
    """Three tokens of one segment, the last of which ends a row, below two tokens of an earlier batch."""
    kv = np.zeros((1, 2, 2, 2, 8), np.float32)
    arrays = {
        "x": np.ones((3, 32), np.float32),
        "cosines": np.ones((3, 4), np.float32),
        "sines": np.zeros((3, 4), np.float32),
        "all_queries": np.array([[0, 0, 3, 0, 0, 1]]),
        "work_items": np.array([0, 1]),
        "leaf_queries": np.array([[0, 2, 3, 0, 0, 1]]),
        "kv_ranges": np.array([[1, 0, 2]]),
        "max_seqlen_k": 5,
        "kv_cache": [kv],
        "new_kv": [kv.copy()],
        "new_kv_starts": np.array([1]),
        "workspace": np.empty(transformer().workspace_floats(3, 1), np.float32),
        "layer_done": lambda _: None,
        "out": np.full((1, 32), np.nan, np.float32),
    }
    return {**arrays, **changes}


def layers() -> list[Any]:
    matrices = [stored(*shape) for shape in ((32, 32), (16, 32), (16, 32), (32, 32), (48, 32), (48, 32), (32, 48))]
    return [kernels.Layer(matrices, [np.ones(size, np.float32) for size in (32, 8, 8, 32)])]


def test_a_batch_that_fits_is_computed() -> None:
    arrays = batch()
    transformer().forward(layers(), **arrays)
    assert np.isfinite(arrays["out"]).all()
    assert arrays["new_kv"][0].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cosines": np.ones((2, 4), np.float32)}, "angles do not fit"),
        ({"out": np.empty((2, 32), np.float32)}, "a row for each leaf"),
        ({"workspace": np.empty(8, np.float32)}, "workspace has another size"),
        ({"all_queries": np.array([[0, 0, 4, 0, 0, 1]])}, "outside of the batch"),
        ({"all_queries": np.array([[0, 0, 3, 0, 0, 2]])}, "outside of the batch"),
        ({"leaf_queries": np.array([[0, 2, 3, 1, 0, 1]])}, "outside of the batch"),
        ({"work_items": np.array([0, 2])}, "work items must rise"),
        ({"work_items": np.array([], np.int64)}, "work items must rise"),
        ({"kv_ranges": np.array([[2, 0, 2]])}, "has no source"),
        ({"kv_ranges": np.array([[1, 1, 2]])}, "ends after its source"),
        ({"max_seqlen_k": 4}, "more than max_seqlen_k"),
        ({"kv_cache": [np.zeros((2, 2, 2, 2, 8), np.float32)]}, "keys and values are"),
        ({"new_kv_starts": np.array([2])}, "outside of the batch"),
        ({"new_kv_starts": np.array([0, 1])}, "one entry for each"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transformer().forward(layers(), **batch(**changes))


def test_new_keys_and_values_are_never_written_to_a_copy() -> None:
    with pytest.raises(TypeError):
        transformer().forward(layers(), **batch(new_kv=[np.zeros((1, 2, 2, 2, 8))]))


def test_what_is_raised_after_a_layer_ends_the_call_and_the_next_call_runs() -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    same = transformer()
    with pytest.raises(KeyboardInterrupt):
        same.forward(layers(), **batch(layer_done=interrupted))
    arrays = batch()
    same.forward(layers(), **arrays)
    assert np.isfinite(arrays["out"]).all()
