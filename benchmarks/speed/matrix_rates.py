"""This machine's matrix product rates with torch, float32, bfloat16 and int8, in 10^9 operations per second."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch

ROWS, DEPTH, COLUMNS = 1024, 1024, 3072
SECONDS = 0.7


def rate(product: Callable[[], object]) -> float:
    """The fastest call within the time; disturbances only make calls slower."""
    product()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return 2 * ROWS * DEPTH * COLUMNS / best / 1e9


def main() -> None:
    """Use as many threads as the first argument says."""
    torch.set_num_threads(int(sys.argv[1]))
    left, right = torch.randn(ROWS, DEPTH), torch.randn(DEPTH, COLUMNS)
    left_8 = torch.randint(-127, 128, (ROWS, DEPTH), dtype=torch.int8)
    right_8 = torch.randint(-127, 128, (DEPTH, COLUMNS), dtype=torch.int8)
    left_16, right_16 = left.bfloat16(), right.bfloat16()
    rates = {
        "float32": rate(lambda: left @ right),
        "bfloat16": rate(lambda: left_16 @ right_16),
        "int8": rate(lambda: torch._int_mm(left_8, right_8)),
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
