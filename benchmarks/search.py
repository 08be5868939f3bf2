"""Search over real files: how fast they are indexed, how it grows, how long searches take, and budgets.

    python -m benchmarks.search                        # 20,000 files of installed packages; some ten minutes
    python -m benchmarks.search --only index search    # without the reranker
    python -m benchmarks.search --only budget --model path/to/model --precision int8
    python -m benchmarks.search --only index search --files 5000 --lancedb    # the same in LanceDB beside it

The files are Markdown and code of the packages of this Python. The reranker has 0.6B's shape and random weights: its
time is real, its order means nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import sqlite3
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.core import LAYERS_0_6B, SHAPE_0_6B
from qwen3_reranker import Reranker
from qwen3_reranker.search import Index
from qwen3_reranker.search.words import words
from testing.checkpoints import write_checkpoint
from testing.tokenizer import unpack_tokenizer

PARTS = ("index", "search", "budget")
_ENDINGS = {".md", ".py", ".pyi", ".js", ".ts", ".c", ".h", ".cpp", ".hpp", ".rst", ".txt", ".html", ".toml"}
_LARGEST = 200_000
# Searches of each budget, and words of a long query.
_COUNTED, _MANY_WORDS = 50, 300
# Where the growth is told: passages.
_STEPS = (2_000, 20_000, 50_000, 100_000, 150_000, 200_000)


def main() -> None:
    """Print the tables of the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--lancedb", action="store_true", help="index and search in LanceDB too")
    parser.add_argument("--work", type=Path, help="a folder to keep the files and the index in, for another run")
    parser.add_argument("--model", help="instead of 0.6B's shape with random weights")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--budget", nargs="+", type=float, default=[0.05, 0.2, 1.0, 2.0])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        files = work / "files"
        if not files.exists():
            copied = copy_files(files, options.files)
            print(f"{copied:,} files of installed packages", flush=True)
        folders = {"index": "", **({"lancedb": "lancedb://"} if options.lancedb else {})}
        for name, scheme in folders.items():
            if "index" in options.only or not (work / name).exists():
                shutil.rmtree(work / name, ignore_errors=True)
                measure_indexing(f"{scheme}{work / name}", work / name, files)
        for name, scheme in folders.items():
            if "search" in options.only:
                measure_searches(f"{scheme}{work / name}", files)
        if "budget" in options.only:
            measure_budget(work / "index", files, options.model, options.precision, options.budget, work)


def copy_files(target: Path, wanted: int) -> int:
    """Copy text files of this Python's packages, in the folders that they stand in; the number of them."""
    copied = 0
    for root in (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["stdlib"]):
        for path in _text_files(Path(root)):
            if copied == wanted:
                return copied
            to = target / path.relative_to(root)
            if not to.exists():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
                copied += 1
    return copied


def _text_files(root: Path) -> Iterator[Path]:
    found = [path for path in root.rglob("*") if path.suffix in _ENDINGS and path.is_file()]
    # In any order: the packages' own would put all files of a kind together.
    random.Random(0).shuffle(found)
    return (path for path in found if 0 < path.stat().st_size <= _LARGEST)


def measure_indexing(address: str, folder: Path, files: Path) -> None:
    """Index the files from nothing, then again with one changed file. folder: where the index is, at its address."""
    rows = []
    steps = list(_STEPS)
    with Index(address, reranker=None) as index:
        # LanceDB gets thousands of passages at once, and tells no growth.
        counting = sqlite3.connect(folder / "index.db") if address == str(folder) else None
        begun = time.perf_counter()

        def on_file(done: int, _total: int) -> None:
            if counting is None or done % 50:
                return
            [[passages]] = counting.execute("SELECT coalesce(max(id), 0) FROM passages")
            while steps and passages >= steps[0]:
                rows.append((steps.pop(0), done, time.perf_counter() - begun))

        changes = index.add(files, on_file=on_file)
        seconds = time.perf_counter() - begun
        if counting is not None:
            counting.close()
        print(f"\n## Indexing, one process, {_name(address)}\n")
        print("| passages | files | seconds | passages/s |\n|---|---|---|---|")
        for count, done, at in [*rows, (changes.passages, changes.added, seconds)]:
            print(f"| {count:,} | {done:,} | {at:.1f} | {count / at:,.0f} |")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        rate, mib = changes.added / seconds, size / 2**20
        print(f"\n{rate:,.0f} files/s; index of {mib:,.0f} MiB; peak memory {_peak():,.0f} MiB")
        changed = next(files.rglob("*.md"))
        times = []
        for number in range(5):
            changed.write_text(f"changed {number}\n{changed.read_text(errors='replace')}", encoding="utf-8")
            begun = time.perf_counter()
            assert index.update().changed == 1
            times.append(time.perf_counter() - begun)
        print(f"update after one changed file: {np.median(times):.3f} s (median of 5)", flush=True)


def measure_searches(address: str, files: Path) -> None:
    """Searches of the first stage alone, with words of random places in the files."""
    with Index(address, reranker=None) as index:
        count = sum(each.passages for each in index.status())
        queries = random_queries(files, 200)
        for query in queries[:5]:
            index.search(query, rerank=False)
        times = []
        for query in queries:
            begun = time.perf_counter()
            index.search(query, rerank=False)
            times.append(1000 * (time.perf_counter() - begun))
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        print(f"\n## Searches without reranking, {count:,} passages, {_name(address)}\n")
        print(f"{len(times)} queries of 2 to 6 words of a text: ", end="")
        print(f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms; memory {_peak():,.0f} MiB", flush=True)


def random_queries(files: Path, count: int) -> list[str]:
    """Words that stand together in a file; large files give more of them."""
    chosen = random.Random(1)
    paths = sorted(path for path in files.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in paths]
    queries: list[str] = []
    while len(queries) < count:
        [path] = chosen.choices(paths, sizes)
        held = [word for word in words(path.read_text(encoding="utf-8", errors="replace")) if len(word) > 2]
        if len(held) > 20:
            start = chosen.randrange(len(held) - 6)
            queries.append(" ".join(held[start : start + chosen.randint(2, 6)]))
    return queries


def _name(address: str) -> str:
    return "LanceDB" if address.startswith("lancedb") else "SQLite"


def measure_budget(
    folder: Path, files: Path, model: str | None, precisions: list[str], budgets: list[float], work: Path
) -> None:
    """Searches within a budget, with candidates that no earlier search judged."""
    if model is None:
        made = work / "model"
        if not made.exists():
            write_checkpoint(
                made, **SHAPE_0_6B, num_hidden_layers=LAYERS_0_6B, dtype="BF16", tokenizer_file=unpack_tokenizer(work)
            )
        model = str(made)
    for scores in folder.glob("scores.db*"):
        scores.unlink()
    print(f"\n## Budgets, 40 candidates, {_COUNTED} queries each, load {os.getloadavg()[0]:.1f}\n")
    print("| precision | budget | queries | p50 | p95 | most | judged, median | left out |")
    print("|---|---|---|---|---|---|---|---|")
    queries = {
        "2 to 6 words": iter(random_queries(files, len(precisions) * (len(budgets) + 1) * (_COUNTED + 1))),
        f"{_MANY_WORDS} common words": _common_queries(folder),
    }
    for precision in precisions:
        with Reranker(model, precision=precision) as reranker, Index(folder, reranker=reranker) as index:
            for budget in budgets:
                for kind, some in queries.items():
                    row = _budget_row(index, [next(some) for _ in range(_COUNTED + 1)], budget)
                    print(f"| {precision} | {budget:g} s | {kind} | {row} |", flush=True)
            begun = time.perf_counter()
            found = index.search(next(queries["2 to 6 words"]))
            seconds = time.perf_counter() - begun
            print(f"| {precision} | none | one | {seconds:.1f} s | | | {found.judged} of 40 | |", flush=True)


def _budget_row(index: Index, queries: list[str], budget: float) -> str:
    """Searches one after the other, the first of which is not counted."""
    times, judged, left_out = [], [], Counter[str]()
    for query in queries:
        begun = time.perf_counter()
        found = index.search(query, budget=budget)
        times.append(time.perf_counter() - begun)
        judged.append(found.judged - found.cached)
        left_out.update(found.left_out)
    p50, p95 = np.percentile(times[1:], (50, 95))
    late = ", ".join(f"{stage} {count}" for stage, count in left_out.items())
    return f"{p50:.3f} s | {p95:.3f} s | {max(times[1:]):.3f} s | {np.median(judged[1:]):.0f} of 40 | {late}"


def _common_queries(folder: Path) -> Iterator[str]:
    """Of the words that most passages hold."""
    with closing(sqlite3.connect(folder / "index.db")) as database:
        read = "SELECT term FROM word_counts ORDER BY doc DESC LIMIT ?"
        common = [word for [word] in database.execute(read, (2 * _MANY_WORDS,))]
    chosen = random.Random(2)
    while True:
        yield " ".join(chosen.sample(common, _MANY_WORDS))


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**10 if sys.platform != "darwin" else peak / 2**20


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
