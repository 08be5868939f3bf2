"""The scan of vectors finds the same rows and bits with kernels and without, and close to what float32 would find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qwen3_reranker_kernels as kernels
from hypothesis import given
from hypothesis import strategies as st

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.search.nearest_rows import numpy_nearest_rows, query_codes, row_type
from qwen3_reranker.search.vectors import Vectors


def random_rows(count: int, dim: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    rows = np.empty(count, row_type(dim))
    # Few scales and few codes, so that many scores are equal.
    rows["scale"] = random.integers(1, 3, count) / 8
    rows["codes"] = random.integers(-128, 128, (count, dim)) if dim > 3 else random.integers(-1, 2, (count, dim))
    return rows


@given(
    dim=st.sampled_from([1, 3, 8, 50, 256, 1024]),
    held=st.integers(1, 6000),
    count=st.integers(0, 300),
    threads=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_variant_with_any_number_of_threads_finds_what_numpy_finds(
    dim: int, held: int, count: int, threads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random_rows(held, dim, seed)
    named = np.sort(random.permutation(held)[: random.integers(0, held + 1)])
    codes, _ = query_codes(random.standard_normal(dim).astype(np.float32))
    expected, scores = numpy_nearest_rows(rows, named, codes, count)
    for variant in kernels.variants():
        found = kernels.nearest_rows(variant, rows.view(np.uint8), named, codes, count, threads)
        assert found[0] == expected.tolist()
        assert np.array(found[1], np.float32).tobytes() == scores.tobytes()


def test_what_numpy_finds_is_the_head_of_a_full_sort() -> None:
    rows = random_rows(500, 3, 0)
    rows["scale"][7] = np.nan
    codes = np.array([1, -2, 1], np.int16)
    sums = rows["codes"].astype(np.int64) @ codes.astype(np.int64)
    scores = {number: float(sums[number]) * float(rows["scale"][number]) for number in range(500) if number != 7}
    order = sorted(scores, key=lambda number: (-scores[number], number))
    found, _ = numpy_nearest_rows(rows, np.arange(500), codes, 60)
    assert found.tolist() == order[:60]
    assert numpy_nearest_rows(rows, np.arange(500), codes, 500)[0].tolist() == [*order, 7]


def test_cosines_are_those_of_float32_to_a_hundredth_and_the_best_rows_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((3000, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stored = Vectors(tmp_path / "vectors.bin", 256)
    assert stored.append(vectors[:1000], 0) == 0
    query = vectors[1234] + vectors[77]
    query /= np.linalg.norm(query)
    assert stored.top(query, 1, np.arange(1000))[0].tolist() == [77]
    # A row that is written later is seen, and what lies behind the rows in use is written over.
    stored.append(vectors, 1000)
    stored.append(vectors[1000:], 1000)
    found, cosines = stored.top(query, 2, np.arange(3000))
    assert sorted(found.tolist()) == [77, 1234]
    np.testing.assert_allclose(cosines, (vectors @ query)[found], atol=0.01)


def test_vectors_that_the_file_lacks_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    stored = Vectors(tmp_path / "vectors.bin", 8)
    query = np.ones(8, np.float32)
    assert stored.top(query, 3, np.zeros(0, np.int64))[0].tolist() == []
    with pytest.raises(UnavailableError, match="vectors are missing"):
        stored.top(query, 3, np.arange(1))
    stored.append(np.ones((2, 8), np.float32), 0)
    assert stored.top(query, 3, np.arange(2))[0].tolist() == [0, 1]
    with pytest.raises(UnavailableError, match="vectors are missing"):
        stored.top(query, 3, np.arange(3))


def test_the_kernel_refuses_rows_that_are_not_there_and_sums_beyond_32_bits() -> None:
    rows, codes = random_rows(4, 8, 0).view(np.uint8), np.ones(8, np.int16)
    for number in (-1, 4, 1 << 62):
        with pytest.raises(ValueError, match="no such row"):
            kernels.nearest_rows("portable", rows, np.array([0, number]), codes, 2, 1)
    wide = random_rows(4, 1024, 0).view(np.uint8)
    with pytest.raises(ValueError, match="too large"):
        kernels.nearest_rows("portable", wide, np.arange(4), np.full(1024, 32767, np.int16), 2, 1)
    for count, threads in ((-1, 1), (2, -5), (1 << 62, 1)):
        found = kernels.nearest_rows("portable", rows, np.arange(4), codes, count, threads)
        assert len(found[0]) == min(max(count, 0), 4)
