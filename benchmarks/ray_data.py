"""Jobs of `score` on Ray beside one process, and `map_batches` with our step beside one with sentence-transformers.

    python -m benchmarks.ray_data                  # 4,000 pairs of nano, some five minutes
    python -m benchmarks.ray_data --pairs 20000    # where the machine is free
    python -m benchmarks.ray_data --pairs 20000 --write pairs.parquet          # the pairs alone, to score them yourself
    python -m benchmarks.ray_data --pairs 20000 --rounds 5 --only driver       # what one driver reads and writes
    python -m benchmarks.ray_data --pairs 20000 --only kill                    # a worker and then the driver killed

Ray runs on this machine. Rates are of the time between the first part (or batch) and the last, so that neither Ray's
start nor the model's counts; the whole time is beside them.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow
import pyarrow.parquet

from benchmarks.rivals.prompt import INSTRUCTION, Rows
from qwen3_reranker.cli.score_job import ScoredPartWriter, pairs_input
from qwen3_reranker.documents.record_stream import RecordStream
from qwen3_reranker.jobs import RerankBatch
from qwen3_reranker.jobs.job_files import job_files
from qwen3_reranker.jobs.job_folder import opened
from qwen3_reranker.jobs.job_options import JobOptions
from qwen3_reranker.jobs.pairs import PairOptions
from qwen3_reranker.jobs.part_scores import PartScores
from qwen3_reranker.jobs.ray_workers import require_ray
from qwen3_reranker.weights import resolve

PARTS = ("driver", "jobs", "steps", "kill")
_DOCUMENTS = 20
_WORDS = (
    "search engine commit file model query index undo server token fast memory git branch python kernel vector text "
    "answer question change history remote local merge"
)


class Naive:
    """The step that most people write: a CrossEncoder, batches of 32 padded to their longest."""

    def __init__(self, prepared: str) -> None:
        import torch
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(1)
        self._model = CrossEncoder(
            prepared,
            device="cpu",
            activation_fn=torch.nn.Identity(),
            model_kwargs={"dtype": "float32"},
            prompts={"rerank": INSTRUCTION},
            default_prompt_name="rerank",
            local_files_only=True,
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with its logits and when it was done."""
        logits = self._model.predict(list(zip(batch["query"], batch["document"], strict=True)), show_progress_bar=False)
        return {"id": batch["id"], "logit": logits, "done": np.full(len(logits), time.time())}


class Timed(RerankBatch):
    """RerankBatch, and when it was done."""

    def __call__(self, batch: Any) -> dict[str, Any]:
        """The batch with its logits and when it was done."""
        found = super().__call__(batch)
        return {"id": found["id"], "logit": found["logit"], "done": np.full(len(found["logit"]), time.time())}


def write_pairs(path: Path, count: int) -> list[tuple[str, str]]:
    """Pairs of words drawn at random, 20 documents a query, of 40 to 160 words."""
    chosen, words = random.Random(0), _WORDS.split()
    pairs = []
    for number in range(count // _DOCUMENTS):
        query = f"how do I {' '.join(chosen.choices(words, k=8))} {number}"
        pairs += [(query, " ".join(chosen.choices(words, k=chosen.randint(40, 160)))) for _ in range(_DOCUMENTS)]
    queries, documents = zip(*pairs, strict=True)
    table = pyarrow.table({"id": range(len(pairs)), "query": queries, "document": documents})
    pyarrow.parquet.write_table(table, path)
    return pairs


def command(pairs: Path, folder: Path, *arguments: str) -> list[str]:
    """The command of a job."""
    given = [str(pairs), "-o", f"{folder}/", "--part-rows", "200", *arguments]
    return [sys.executable, "-m", "qwen3_reranker", "score", *given]


def job(pairs: Path, folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of the whole command, and pairs a second between the first part and the last."""
    start = time.perf_counter()
    subprocess.run(command(pairs, folder, *arguments), check=True, capture_output=True)
    seconds = time.perf_counter() - start
    parts = sorted(folder.glob("part-*"), key=lambda path: path.stat().st_mtime_ns)
    rows = sum(pyarrow.parquet.read_metadata(path).num_rows for path in parts[1:])
    return seconds, rows / (parts[-1].stat().st_mtime - parts[0].stat().st_mtime)


def driver_rate(pairs: Path, folder: Path) -> float:
    """Rows a second that the driver checks, reads and writes, where nothing scores them."""
    start = time.perf_counter()
    stream = RecordStream(str(pairs))
    given = pairs_input(stream, PairOptions(), JobOptions().part_rows)
    writer = ScoredPartWriter("parquet", stream)
    with opened(job_files(str(folder)), given, "parquet", dict) as parts:
        for number, part in parts.parts_left():
            zeros = PartScores(np.zeros(len(part), np.float32), tokens=0, computed=0, cut=0)
            parts.write(number, partial(writer.write, parts, number, part, zeros))
        return sum(parts.counts) / (time.perf_counter() - start)


def map_batches(pairs: Path, step: type, arguments: dict[str, Any], batch: int) -> tuple[float, float, Any]:
    """Seconds, pairs a second between the first batch and the last, and the logits in the order of the ids."""
    import ray.data

    start = time.perf_counter()
    rows = (
        ray.data.read_parquet(str(pairs), override_num_blocks=8)
        .map_batches(
            step,
            fn_constructor_kwargs=arguments,
            batch_size=batch,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        .take_all()
    )
    seconds = time.perf_counter() - start
    done = np.array(sorted(row["done"] for row in rows))
    later = np.count_nonzero(done > done[0])
    rate = later / (done[-1] - done[0]) if later else float("nan")
    return seconds, rate, np.array([row["logit"] for row in sorted(rows, key=lambda row: row["id"])])


def padded_tokens(lengths: list[int], batch: int) -> int:
    """Tokens of `predict` on batches of that many rows: sorted by length, and 32 of them padded to the longest."""
    total = 0
    for start in range(0, len(lengths), batch):
        some = sorted(lengths[start : start + batch], reverse=True)
        total += sum(len(some[first : first + 32]) * some[first] for first in range(0, len(some), 32))
    return total


def main() -> None:
    """Print what the driver alone does, and two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--naive-pairs", type=int, default=1000, help="it is slow")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the pairs to this Parquet file, and end")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    if options.write:
        write_pairs(options.write, options.pairs)
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        write_pairs(work / "pairs.parquet", options.pairs)
        if "driver" in options.only:
            driver(work, options.rounds)
        if "jobs" in options.only:
            jobs(work, options.rounds)
        if "steps" in options.only:
            steps(work, options.naive_pairs)
        if "kill" in options.only:
            kill(work)


def driver(work: Path, rounds: int) -> None:
    """The driver without scores. The first round does not count, as it imports."""
    rates = [driver_rate(work / "pairs.parquet", work / f"driver-{number}") for number in range(rounds + 1)]
    load = os.getloadavg()[0]
    print(f"The driver alone, median of {rounds} rounds, load {load:.1f}: {np.median(rates[1:]):,.0f} rows/s")


def jobs(work: Path, rounds: int) -> None:
    """The same job in one process and on Ray, in turns."""
    engines = {
        "local, 1 thread": ("--threads", "1"),
        "ray, 1 worker": ("--engine", "ray", "--workers", "1"),
        "local, 2 threads": ("--threads", "2"),
        "ray, 2 workers": ("--engine", "ray", "--workers", "2"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for number in range(rounds):
        for name, arguments in engines.items():
            found[name].append(job(work / "pairs.parquet", work / f"{name} {number}".replace(" ", "-"), *arguments))
    rows = pyarrow.parquet.read_metadata(work / "pairs.parquet").num_rows
    print(f"\n## {rows:,} pairs, medians of {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| engine | whole command | pairs a second |\n|---|---|---|")
    for name, measured in found.items():
        seconds, rate = np.median(np.array(measured), axis=0)
        print(f"| {name} | {seconds:.1f} s | {rate:,.0f} |")


def steps(work: Path, count: int) -> None:
    """Both steps of Ray Data on the same pairs."""
    pairs, model = write_pairs(work / "fewer.parquet", count), resolve("nano")
    (work / "prepared").mkdir()
    prepare(model, work / "prepared")
    ray = require_ray()
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=256 << 20)
    lengths = [len(row) for row in Rows(model).rows(pairs)]
    tree = ours_tokens(pairs)
    naive = map_batches(work / "fewer.parquet", Naive, {"prepared": str(work / "prepared")}, 256)
    ours = map_batches(work / "fewer.parquet", Timed, {"model": "nano"}, 256)
    ray.shutdown()
    print(f"\n## {len(pairs):,} pairs in map_batches, 2 actors of 1 CPU, load {os.getloadavg()[0]:.1f}\n")
    print("| step | whole | pairs a second | tokens computed |\n|---|---|---|---|")
    print(f"| sentence-transformers | {naive[0]:.1f} s | {naive[1]:,.0f} | {padded_tokens(lengths, 256):,} |")
    print(f"| RerankBatch | {ours[0]:.1f} s | {ours[1]:,.0f} | {tree:,} |")
    print(f"\nLargest difference of a logit: {np.abs(naive[2] - ours[2]).max():.1e}.")


def kill(work: Path) -> None:
    """A job on two workers: one is killed at a quarter, and the driver halfway. The same command goes on."""
    pairs, killed = work / "pairs.parquet", work / "killed"
    on_ray = command(pairs, killed, "--engine", "ray", "--workers", "2")
    parts = pyarrow.parquet.read_metadata(pairs).num_rows // 200
    with subprocess.Popen(on_ray, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        wait_for(driver, killed, parts // 4)
        started = psutil.Process(driver.pid).children(recursive=True)
        next(each for each in started if each.name().startswith("ray::PartWorker")).kill()
        print(f"\nA worker killed when {count(killed)} of {parts} parts were done,", flush=True)
        wait_for(driver, killed, parts // 2)
        started += psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    done = count(killed)
    # Ray ends with its driver; what hangs would take processors from what follows.
    _, alive = psutil.wait_procs(started, timeout=30)
    for each in alive:
        each.kill()
    print(f"and the driver when {done} were. The same command once more:", flush=True)
    print(subprocess.run(on_ray, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), flush=True)
    subprocess.run(command(pairs, work / "whole"), check=True, capture_output=True)
    found, whole = ([path.read_bytes() for path in sorted(each.glob("part-*"))] for each in (killed, work / "whole"))
    ids = pyarrow.parquet.read_table(sorted(killed.glob("part-*")), columns=["id"])["id"].to_pylist()
    print(f"{len(ids):,} rows, each once in the order of the input: {ids == list(range(parts * 200))}")
    print(f"{len(found)} files, with the bytes of a job in one process: {found == whole}")


def count(folder: Path) -> int:
    """The parts of a job that are done."""
    return len(list(folder.glob("part-*")))


def wait_for(driver: subprocess.Popen[bytes], folder: Path, parts: int) -> None:
    """Wait until a job has so many parts."""
    while count(folder) < parts:
        if driver.poll() is not None:
            raise SystemExit(f"the job ended with {driver.returncode}")
        time.sleep(0.05)


def ours_tokens(pairs: list[tuple[str, str]]) -> int:
    """What RerankBatch computes in batches of 256."""
    from qwen3_reranker.jobs.part_scores import score_texts
    from qwen3_reranker.reranker import Reranker

    with Reranker("nano") as reranker:
        batches = [list(zip(*pairs[first : first + 256], strict=True)) for first in range(0, len(pairs), 256)]
        return sum(score_texts(reranker, *batch, None).computed for batch in batches)


def prepare(model: Path, prepared: Path) -> None:
    """A folder that sentence-transformers opens."""
    from benchmarks.rivals.sentence_transformers import SentenceTransformers

    SentenceTransformers.prepare(model, prepared)


if __name__ == "__main__":
    main()
