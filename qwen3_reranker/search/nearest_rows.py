"""The exact scan of stored vectors: by the kernels, or by numpy with the same bits where there are none.

Shapes: R rows in the file, N rows looked at, D numbers of a vector.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.errors import UnavailableError

# Fewer rows a thread take a few milliseconds, and another thread may have to wait for its core that long.
_ROWS_OF_A_THREAD = 250_000
# Rows that numpy takes at once: their numbers in float64 stay in the caches.
_AT_ONCE = 1024


def row_type(dim: int) -> np.dtype[np.void]:
    """How a vector of so many numbers lies on disk: x = scale * codes."""
    return np.dtype([("scale", "<f4"), ("codes", "i1", (dim,))])


def nearest_rows(
    rows_R: NDArray[np.void], numbers_N: NDArray[np.int64], query_D: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of the rows with these numbers, those with the largest products with the query: their numbers and the products.

    At most `count`, best first, of equal ones the lower number first. Sums are integers, so the result has the same
    bits on every processor, with any number of threads, and without kernels.
    """
    codes_D, scale = query_codes(query_D)
    kernels = _kernels()
    if kernels is None:
        found_K, scores_K = numpy_nearest_rows(rows_R, numbers_N, codes_D, count)
    else:
        flat, variant = rows_R.view(np.uint8), kernels.variants()[0]
        threads = min(usable_cpus(), 1 + len(numbers_N) // _ROWS_OF_A_THREAD)
        found = kernels.nearest_rows(variant, flat, numbers_N, codes_D, count, threads)
        found_K, scores_K = np.array(found[0], np.int64), np.array(found[1], np.float32)
    return found_K, scores_K * scale


def query_codes(query_D: NDArray[np.float32]) -> tuple[NDArray[np.int16], np.float32]:
    """A query in 16 bits, or in fewer where sums with rows of 8 bits would leave 32 bits, and its scale."""
    steps = min(2**15 - 1, (2**31 - 1) // (128 * len(query_D)))
    scale = np.float32(max(float(np.abs(query_D).max()), 1e-12) / steps)
    return np.rint(query_D / scale).clip(-steps, steps).astype(np.int16), scale


def numpy_nearest_rows(
    rows_R: NDArray[np.void], numbers_N: NDArray[np.int64], codes_D: NDArray[np.int16], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As the kernels' nearest_rows: what they are compared with."""
    scores_N = np.empty(len(numbers_N), np.float32)
    for begin in range(0, len(numbers_N), _AT_ONCE):
        rows = rows_R[numbers_N[begin : begin + _AT_ONCE]]
        # float64 holds every sum exactly, in whatever order BLAS adds.
        sums = rows["codes"].astype(np.float64) @ codes_D.astype(np.float64)
        scores_N[begin : begin + _AT_ONCE] = sums.astype(np.float32) * rows["scale"]
    scores_N[np.isnan(scores_N)] = -np.inf
    if count < len(scores_N):
        least = np.partition(scores_N, -count)[-count]
        numbers_N, scores_N = numbers_N[scores_N >= least], scores_N[scores_N >= least]
    order = np.lexsort((numbers_N, -scores_N))[:count]
    return numbers_N[order], scores_N[order]


@cache
def _kernels() -> ModuleType | None:
    try:
        return native_module()
    except UnavailableError:
        return None
