"""Jobs read from URLs and write to object storage; what cannot be reached is one line."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
import pytest

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.jobs.job_files import StoredFiles, job_files
from testing.object_storage import s3_server, weed
from testing.patience import PATIENCE_SECONDS, until
from tests.cli.conftest import Run
from tests.cli.test_score_folder import PAIRS, files, write_lines

# aiobotocore and fsspec leave sockets and loops to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's memory, empty."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A bucket of a real server, which commands find by their environment."""
    if weed() is None or find_spec("s3fs") is None:
        pytest.skip("SeaweedFS or s3fs is missing")
    with s3_server(tmp_path_factory.mktemp("seaweed")) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield fsspec.filesystem("s3")


def stored(system: Any, folder: str) -> dict[str, bytes]:
    """The parts of a folder."""
    system.invalidate_cache()
    return {path.rpartition("/")[2]: system.cat_file(path) for path in sorted(system.glob(f"{folder}/part-*"))}


def put_pairs(system: Any, folder: str) -> None:
    """The pairs as Parquet and JSON lines."""
    table = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PAIRS), table)
    system.pipe_file(f"{folder}/pairs.parquet", table.getvalue())
    system.pipe_file(f"{folder}/pairs.jsonl", "".join(json.dumps(pair) + "\n" for pair in PAIRS).encode())


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_url_of_input_and_one_of_output_give_the_bytes_of_files(
    run: Run, model: str, notes: Path, memory: Any, form: str
) -> None:
    put_pairs(memory, "bucket")
    Path(f"pairs.{form}").write_bytes(memory.cat_file(f"bucket/pairs.{form}"))
    command = ("-m", model, "--part-rows", "8")
    assert run("score", f"pairs.{form}", *command, "-o", "scored/").code == 0
    outcome = run("score", f"memory://bucket/pairs.{form}", *command, "-o", "memory://bucket/scored/")
    assert outcome.code == 0, outcome.err
    assert stored(memory, "bucket/scored") == files("scored")
    assert memory.cat_file("bucket/scored/_job.json") == Path("scored/_job.json").read_bytes()


def test_a_url_is_read_without_a_job_too(run: Run, model: str, notes: Path, memory: Any) -> None:
    put_pairs(memory, "bucket")
    for form in ("jsonl", "parquet"):
        assert [hit["id"] for hit in run("score", f"memory://bucket/pairs.{form}", "-m", model).hits] == list(range(24))


def test_a_job_on_storage_goes_on_with_what_is_missing_and_only_as_it_began(
    run: Run, model: str, notes: Path, memory: Any
) -> None:
    put_pairs(memory, "bucket")
    command = ("score", "memory://bucket/pairs.jsonl", "-m", model, "-o", "memory://bucket/s/", "--part-rows", "8")
    assert run(*command).code == 0
    whole = stored(memory, "bucket/s")
    memory.rm_file("bucket/s/part-00001.jsonl")
    outcome = run(*command, "--instruction", "Find it")
    assert outcome.code == 2
    assert outcome.err == (
        'error: memory://bucket/s holds a job that began otherwise: instruction was null and is "Find it". Go on as it '
        "began, or name another folder\n"
    )
    assert run(*command).out.startswith("8 pairs (and 16 done before) · ")
    assert stored(memory, "bucket/s") == whole


def test_a_file_url_is_a_folder_of_this_machine(run: Run, model: str, notes: Path) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    assert run("score", f"file://{notes}/pairs.jsonl", "-m", model, "-o", f"file://{notes}/scored/").code == 0
    assert {path.name for path in Path("scored").iterdir()} == {"_job.json", ".lock", "part-00000.jsonl"}


@pytest.mark.parametrize(
    ("source", "output", "code", "message"),
    [
        ("memory://bucket/none.jsonl", "scored/", 2, "memory://bucket/none.jsonl: no such file"),
        ("nosuch://bucket/pairs.jsonl", "scored/", 2, "nosuch://bucket/pairs.jsonl: Protocol not known: nosuch"),
        ("memory://bucket/pairs.jsonl/", "scored/", 2, "memory://bucket/pairs.jsonl/ is a folder"),
        ("http://127.0.0.1:1/pairs.jsonl", "scored/", 2, "http://127.0.0.1:1/pairs.jsonl: cannot be read (Conn"),
        ("memory://b/pairs.jsonl", "memory://b/scored", 2, "memory://b/scored: a URL gets the parts of a job"),
        ("memory://b/pairs.jsonl", "ftp://host/scored/", 2, "ftp://host/scored/: parts go to a folder of this machine"),
        ("memory://b/pairs.jsonl", "memory://b/full/", 2, "memory://b/full: holds files that belong to no job"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line(
    run: Run, notes: Path, memory: Any, source: str, output: str, code: int, message: str
) -> None:
    put_pairs(memory, "b")
    memory.pipe_file("b/full/letter.txt", b"dear")
    outcome = run("score", source, "-o", output)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith(f"error: {message}"), outcome.err
    assert outcome.err.count("\n") == 1


def test_storage_whose_package_is_missing_is_one_line(run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    outcome = run("score", "gs://bucket/pairs.jsonl", "-o", "scored/")
    assert (outcome.code, outcome.err) == (
        4,
        "error: gs://bucket/pairs.jsonl: Please install gcsfs to access Google Storage\n",
    )


def test_one_process_holds_a_folder_of_storage_and_the_next_one_when_its_lease_ran_out(memory: Any) -> None:
    place = "memory://bucket/held/"
    with job_files(place).held() as refuse_if_lost:
        refuse_if_lost()
        with pytest.raises(UnavailableError, match="another process works on this job"), job_files(place).held():
            pass
    with job_files(place).held():
        pass
    dead = job_files(place)
    assert isinstance(dead, StoredFiles)
    assert dead.take(time.time() - 1)
    with job_files(place).held():
        # What came back to life does not take from the new holder what it had.
        assert not dead.renew(time.time() + 60)
    assert len(memory.glob("bucket/held/.lock/*")) == 1
    assert job_files(place).names() == set()


@pytest.mark.slow
def test_s3_gets_the_bytes_of_files_and_a_killed_job_goes_on_there(run: Run, model: str, notes: Path, s3: Any) -> None:
    write_lines(notes / "many.jsonl", [{**PAIRS[each % 24], "id": each} for each in range(2000)])
    s3.put_file(str(notes / "many.jsonl"), "bucket/many.jsonl")
    command = ["score", "s3://bucket/many.jsonl", "-m", model, "-o", "s3://bucket/scored/", "--part-rows", "100"]
    with subprocess.Popen([sys.executable, "-m", "qwen3_reranker", *command], stderr=subprocess.PIPE) as process:
        until(lambda: len(stored(s3, "bucket/scored")) >= 2 or process.poll() is not None)
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL
    assert 2 <= len(stored(s3, "bucket/scored")) < 20
    outcome = run(*command)
    assert outcome.code == 4
    assert "another process works on this job, or died less than a minute ago" in outcome.err
    for lease in s3.glob("bucket/scored/.lock/*"):
        s3.pipe_file(lease, json.dumps({"holder": "dead", "expires": 0}).encode())
    assert run(*command).code == 0
    assert run("score", "many.jsonl", "-m", model, "-o", "local/", "--part-rows", "100").code == 0
    assert stored(s3, "bucket/scored") == files("local")


@pytest.mark.slow
def test_an_empty_folder_that_the_page_of_a_storage_made_gets_a_job(run: Run, model: str, notes: Path, s3: Any) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    s3.pipe_file("bucket/made/", b"")
    assert run("score", "pairs.jsonl", "-m", model, "-o", "s3://bucket/made/").code == 0
    assert list(stored(s3, "bucket/made")) == ["part-00000.jsonl"]


@pytest.mark.slow
def test_of_many_that_take_a_lease_on_s3_at_once_one_has_it(s3: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: job_files("s3://bucket/held/").take(time.time() + 60), range(8)))
    assert taken.count(True) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://no-such-bucket/pairs.jsonl", "s3://no-such-bucket/pairs.jsonl: no such file"),
        ("s3://bucket/none.parquet", "s3://bucket/none.parquet: no such file"),
    ],
)
def test_what_is_not_on_s3_is_one_line(run: Run, notes: Path, s3: Any, place: str, message: str) -> None:
    outcome = run("score", place, "-o", "scored/")
    assert (outcome.code, outcome.err) == (2, f"error: {message}\n")


@pytest.mark.slow
def test_s3_without_credentials_and_with_wrong_ones_is_one_line(
    run: Run, model: str, notes: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(notes / "pairs.jsonl", PAIRS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    type(s3).clear_instance_cache()
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "s3://bucket/wrong/")
    assert outcome.code == 2
    assert outcome.err.startswith("error: s3://bucket/wrong: cannot be read (The request signature we calculated")
    assert outcome.err.count("\n") == 1
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    type(s3).clear_instance_cache()
    outcome = run("score", "pairs.jsonl", "-m", model, "-o", "s3://bucket/none/")
    assert outcome.code == 2
    assert outcome.err == "error: s3://bucket/none: cannot be read (Unable to locate credentials)\n"
    type(s3).clear_instance_cache()
