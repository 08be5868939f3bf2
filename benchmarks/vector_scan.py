"""The exact scan of stored vectors: the kernels beside numpy, float32, and sign bits with rescoring, in turns.

    python -m benchmarks.vector_scan                   # 200,000 and 1,000,000 rows; two minutes, 3 GB of memory

Vectors have 256 numbers around random centres; queries are stored vectors with noise. Recall is the share of float32's
best 10 and best 200 rows that a scan's best 10 and 200 hold.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import qwen3_reranker_kernels as kernels
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.search.nearest_rows import numpy_nearest_rows, query_codes, row_type
from qwen3_reranker.search.vectors import Vectors

_DIM = 256
_FOUND = 200
# Of each query, so many rows by their signs are scored by their numbers.
_RESCORED = 1000
Scan = Callable[[NDArray[np.float32]], NDArray[np.int64]]


def main() -> None:
    """Print a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[200_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder) / "vectors.bin", rows, options.queries)


def measure(path: Path, count: int, num_queries: int) -> None:
    """Each query by each scan, one after the other."""
    random = np.random.default_rng(0)
    vectors_RD = random.standard_normal((count, _DIM), np.float32)
    vectors_RD += random.standard_normal((count // 100, _DIM), np.float32)[random.integers(count // 100, size=count)]
    queries = vectors_RD[random.integers(count, size=num_queries)]
    queries = queries + 0.5 * random.standard_normal(queries.shape, np.float32)
    for each in (vectors_RD, queries):
        each /= np.linalg.norm(each, axis=1, keepdims=True)
    Vectors(path, _DIM).append(vectors_RD, 0)
    scans = _scans(path, vectors_RD)
    seconds: dict[str, list[float]] = {name: [] for name in scans}
    recall: dict[str, list[tuple[float, float]]] = {name: [] for name in scans}
    for query_D in [queries[0], *queries]:
        exact = np.argsort(-(vectors_RD @ query_D), kind="stable")[:_FOUND]
        for name, scan in scans.items():
            begun = time.perf_counter()
            found = scan(query_D)
            seconds[name].append(time.perf_counter() - begun)
            recall[name].append((_share(found, exact, 10), _share(found, exact, _FOUND)))
    load = os.getloadavg()[0]
    print(f"\n## {count:,} vectors of {_DIM} numbers, best {_FOUND}, {num_queries} queries, load {load:.1f}\n")
    print("| scan | median | most | recall of 10 | recall of 200 |\n|---|---|---|---|---|")
    for name in scans:
        # The first turn brought the pages into memory.
        times, held = 1000 * np.array(seconds[name][1:]), np.mean(recall[name][1:], axis=0)
        row = f"| {name} | {np.median(times):.1f} ms | {times.max():.1f} ms "
        print(f"{row}| {held[0]:.3f} | {held[1]:.3f} |", flush=True)


def _scans(path: Path, vectors_RD: NDArray[np.float32]) -> dict[str, Scan]:
    rows = np.memmap(path, row_type(_DIM), "r")
    numbers = np.arange(len(rows))
    signs_RB = np.packbits(rows["codes"] > 0, axis=1)
    best, cores = kernels.variants()[0], usable_cpus()

    def by_kernel(variant: str, threads: int) -> Scan:
        def scan(query_D: NDArray[np.float32]) -> NDArray[np.int64]:
            codes, _ = query_codes(query_D)
            found = kernels.nearest_rows(variant, rows.view(np.uint8), numbers, codes, _FOUND, threads)
            return np.array(found[0])

        return scan

    def by_numpy(query_D: NDArray[np.float32]) -> NDArray[np.int64]:
        return numpy_nearest_rows(rows, numbers, query_codes(query_D)[0], _FOUND)[0]

    def by_signs(query_D: NDArray[np.float32]) -> NDArray[np.int64]:
        distance_R = np.bitwise_count(signs_RB ^ np.packbits(query_D > 0)).sum(axis=1, dtype=np.int32)
        near = np.argpartition(distance_R, _RESCORED)[:_RESCORED]
        scores = (rows["codes"][near].astype(np.float32) @ query_D) * rows["scale"][near]
        return near[np.argsort(-scores, kind="stable")[:_FOUND]]

    def by_float32(query_D: NDArray[np.float32]) -> NDArray[np.int64]:
        scores_R = vectors_RD @ query_D
        near = np.argpartition(-scores_R, _FOUND)[:_FOUND]
        return near[np.argsort(-scores_R[near], kind="stable")]

    return {
        f"int8, kernels ({best}), {cores} threads": by_kernel(best, cores),
        f"int8, kernels ({best}), 1 thread": by_kernel(best, 1),
        "int8, kernels (portable), 1 thread": by_kernel("portable", 1),
        "int8, numpy": by_numpy,
        f"sign bits, {_RESCORED:,} rescored, numpy": by_signs,
        "float32, numpy": by_float32,
    }


def _share(found: NDArray[np.int64], exact: NDArray[np.int64], count: int) -> float:
    return len(set(found[:count].tolist()) & set(exact[:count].tolist())) / count


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
