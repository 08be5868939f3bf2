"""Damages small files at random, and keeps those that break a reader's promises as tests.

    python -m benchmarks.fuzz --cases 100000 --reader gguf

The promises are those of testing/fuzzing.py: CheckpointError alone, a second, four times the file's size.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from statistics import median

import numpy as np

from testing.fuzzing import CORPUS, READERS, broken_promise, edited, random_edits, whole_files


def main() -> int:
    """Run the cases; 1 if one broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--reader", choices=READERS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    # A file without a head is said so each time.
    logging.disable(logging.WARNING)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _fuzz(options.reader, options.cases, options.seed, Path(folder))


def _fuzz(reader: str, cases: int, seed: int, folder: Path) -> int:
    files, path = whole_files(reader, folder), folder / f"case.{reader}"
    print(f"{reader}: a whole file opens in {_opening(reader, path, files[0]) * 1e3:.2f} ms", flush=True)
    random = np.random.default_rng(seed)
    broken: dict[str, int] = {}
    start = time.thread_time()
    tracemalloc.start()
    for case in range(cases):
        if case and case % 10_000 == 0:
            print(f"{reader}: {case:,} cases", flush=True)
        content, other = (files[int(random.integers(len(files)))] for _ in range(2))
        damaged = edited(content, random_edits(random, len(content)), other)
        path.write_bytes(damaged)
        promise = broken_promise(reader, path, len(damaged))
        if promise is not None:
            # Of many files with one fault, one is enough.
            kind = promise.partition(":")[0].rstrip("0123456789,. ")
            broken[kind] = broken.get(kind, 0) + 1
            if broken[kind] <= 3:
                name = hashlib.sha256(damaged).hexdigest()[:16]
                (CORPUS / reader).mkdir(parents=True, exist_ok=True)
                (CORPUS / reader / name).write_bytes(damaged)
                print(f"{reader}: {CORPUS / reader / name}: {promise}", flush=True)
    tracemalloc.stop()
    seconds = time.thread_time() - start
    print(f"{reader}: {cases:,} cases from seed {seed}, {sum(broken.values()):,} broke a promise, {seconds:.0f} s")
    return 1 if broken else 0


def _opening(reader: str, path: Path, content: bytes) -> float:
    path.write_bytes(content)
    times = []
    for _ in range(20):
        start = time.thread_time()
        READERS[reader](path)
        times.append(time.thread_time() - start)
    return median(times)


if __name__ == "__main__":
    sys.exit(main())
