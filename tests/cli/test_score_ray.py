"""`score --engine ray` writes the bytes of `--engine local`, whatever dies on the way; Ray Data runs `RerankBatch`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.jobs.part_task import PartWork
from qwen3_reranker.jobs.ray_workers import PartWorker
from testing.patience import PATIENCE_SECONDS, until
from testing.ray_serving import actors_below
from tests.cli.conftest import Run
from tests.cli.test_score_folder import PAIRS, files, rows, write_lines
from tests.test_readme import ROOT, blocks_of, same

pytestmark = [
    pytest.mark.slow,
    # Ray leaves the files of its logs and sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # Ray Data copies its own settings, the deprecated ones too.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]


@pytest.fixture(scope="module")
def cluster(package_path: None) -> Iterator[None]:
    """Ray on two CPUs. Commands in this process find it and use it."""
    from qwen3_reranker.jobs.ray_workers import require_ray

    ray = require_ray()
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
    yield
    ray.shutdown()


def test_ray_writes_the_bytes_of_local_in_every_format(run: Run, model: str, notes: Path, cluster: None) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    for form in ("jsonl", "csv", "parquet"):
        command = ("score", "pairs.jsonl", "-m", model, "--part-rows", "4", "--format", form)
        assert run(*command, "-o", f"local-{form}/").code == 0
        outcome = run(*command, "-o", f"ray-{form}/", "--engine", "ray")
        assert outcome.code == 0, outcome.err
        assert files(f"ray-{form}") == files(f"local-{form}")


def test_a_worker_and_then_the_driver_are_killed_and_every_row_is_there_once_with_the_bits_of_local(
    run: Run, model: str, notes: Path, cluster: None
) -> None:
    write_lines(notes / "many.jsonl", [{**PAIRS[each % 24], "id": each} for each in range(6000)])
    command = ["score", "many.jsonl", "-m", model, "--part-rows", "100"]
    ray_command = [*command, "-o", "scored/", "--engine", "ray"]
    driver = [sys.executable, "-m", "qwen3_reranker", *ray_command, "--workers", "2"]
    with subprocess.Popen(driver, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until(lambda: len(files("scored")) >= 2 or process.poll() is not None)
        actors_below(process.pid, "PartWorker")[0].kill()
        before = len(files("scored"))
        until(lambda: len(files("scored")) >= before + 3 or process.poll() is not None)
        process.kill()
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL, output
    done = len(files("scored"))
    assert before + 3 <= done < 60
    outcome = run(*ray_command)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{(60 - done) * 100:,} pairs (and {done * 100:,} done before) · ")
    assert [row["id"] for row in rows("scored")] == list(range(6000))
    assert run(*command, "-o", "local/").code == 0
    assert files("scored") == files("local")


class DyingWorker(PartWorker):
    """Dies over one part, as a worker does that needs more memory than its machine has."""

    def work(self, *texts: list[str]) -> PartWork:
        if "poison" in texts[1]:
            os._exit(1)
        return super().work(*texts)


def test_a_part_that_always_loses_its_worker_ends_the_job_and_what_is_done_stays(
    run: Run, model: str, notes: Path, cluster: None
) -> None:
    write_lines(notes / "pairs.jsonl", [*PAIRS, {"query": "last", "document": "poison"}])
    command = ("score", "pairs.jsonl", "-m", model, "--part-rows", "8", "-o", "scored/", "--engine", "ray")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("qwen3_reranker.jobs.ray_workers.PartWorker", DyingWorker)
        outcome = run(*command, "--workers", "1")
    assert outcome.code == 4
    assert "lost its worker 4 times" in outcome.err
    done = files("scored")
    assert done
    assert run(*command).code == 0
    assert done.items() <= files("scored").items()


def test_an_error_of_a_worker_is_the_error_of_the_library_in_one_line(
    run: Run, model: str, notes: Path, cluster: None
) -> None:
    write_lines(notes / "pairs.jsonl", [*PAIRS, {"query": "long " * 500, "document": "text"}])
    command = ("score", "pairs.jsonl", "-m", model, "--part-rows", "8", "--max-length", "700")
    local = run(*command, "-o", "local/")
    outcome = run(*command, "-o", "scored/", "--engine", "ray")
    assert outcome.code == local.code == 2
    assert outcome.err.splitlines()[-1] == local.err.splitlines()[-1]
    assert "Traceback" not in outcome.err


def test_a_worker_that_does_not_fit_the_cluster_is_one_line(run: Run, model: str, notes: Path, cluster: None) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "s/", "--engine", "ray", "--cpus-per-worker", "3")
    assert outcome.code == 4
    assert outcome.err.splitlines()[-1] == (
        "error: no worker with 3 CPUs and 0 GPUs fits the cluster, which has 2 CPUs and 0 GPUs"
    )


def test_ray_data_runs_rerank_batch_in_actors(model: str, cluster: None) -> None:
    import ray.data

    from qwen3_reranker.jobs import RerankBatch

    with Reranker(model) as reranker:
        logits_N = reranker.logits([(str(pair["query"]), str(pair["document"])) for pair in PAIRS])
    dataset = ray.data.from_items(PAIRS).map_batches(
        RerankBatch,
        fn_constructor_kwargs={"model": model},
        batch_size=8,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    found = sorted(dataset.take_all(), key=lambda row: row["id"])
    assert [{name: row[name] for name in PAIRS[0]} for row in found] == PAIRS
    assert [row["logit"] for row in found] == logits_N.tolist()


def test_the_example_of_the_page_prints_what_it_shows(cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = blocks_of((ROOT / "docs/jobs.md").read_text(encoding="utf-8"))
    [(code, shown)] = [(code, shown) for (language, code), (_, shown) in pairwise(blocks) if language == "python"]
    exec(compile(code, "docs/jobs.md", "exec"), {"__name__": "example"})
    assert same(shown.strip(), capsys.readouterr().out.strip())
