"""A forked child ranks as its parent does, or says why it cannot; it never hangs and never prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testing.checkpoints import write_small_checkpoint
from testing.layouts import write_embedding_model

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

BEGINNING = """
import json, os, signal, sys, threading, time
from qwen3_reranker import Reranker, UnavailableError

folder, options = sys.argv[1], json.loads(sys.argv[2])
TEXTS = [f"document {number} " + "word " * number for number in range(30)]
PAIRS = [("query", text) for text in TEXTS]

def in_child(work):
    # What `work` returns in a forked child, as JSON; a child that hangs is ended and gives None.
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(100)
        try:
            os.write(write, json.dumps(work()).encode())
        except BaseException as error:
            os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return json.loads(told) if told else None
"""
WHILE_RANKING = """
reranker = Reranker(folder, num_threads=2, **options)
expected = reranker.logits(PAIRS)
def ranked():
    return float(abs(reranker.logits(PAIRS) - expected).max())
stop = threading.Event()
def work():
    while not stop.is_set():
        reranker.rank(f"query {time.monotonic()}", TEXTS)
thread = threading.Thread(target=work)
thread.start()
answers = []
for number in range(3):
    time.sleep(0.03 * (number + 1))
    answers.append(in_child(ranked))
stop.set()
thread.join()
print(json.dumps([*answers, ranked()]))
"""
IDLE = """
reranker = Reranker(folder, **options)
expected = reranker.logits(PAIRS)
def work():
    logits = reranker.logits(PAIRS)
    grandchild = in_child(lambda: reranker.logits(PAIRS).tolist())
    return [float(abs(logits - expected).max()), grandchild == logits.tolist()]
print(json.dumps([in_child(work), float(abs(reranker.logits(PAIRS) - expected).max())]))
"""


def run(program: str, folder: Path | str, **options: object) -> object:
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    environment |= options.pop("environment", {})  # type: ignore[arg-type]
    command = [sys.executable, "-W", "ignore", "-c", BEGINNING + program, str(folder), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_checkpoint(tmp_path_factory.mktemp("forked"), initializer_range=0.2)


@pytest.mark.parametrize(
    "options", [{}, {"precision": "int8"}, {"backend": "reference"}], ids=["float32", "int8", "reference"]
)
def test_a_child_forked_while_another_thread_ranks_gives_what_its_parent_gives(
    folder: Path, options: dict[str, object]
) -> None:
    differences = run(WHILE_RANKING, folder, **options)
    assert isinstance(differences, list)
    assert max(differences) <= 0


@pytest.mark.slow
def test_a_child_forked_while_another_thread_computes_on_torch_says_so(folder: Path) -> None:
    answers = run(WHILE_RANKING, folder, backend="torch", device="cpu", prefix_cache_tokens=0)
    assert isinstance(answers, list)
    # A fork may fall between two calls, and then the child computes.
    refusals = [answer for answer in answers if isinstance(answer, str)]
    expected = "UnavailableError: torch was computing in another thread when this process was forked; fork before the "
    assert all(refusal.startswith(expected) for refusal in refusals)
    assert max(answer for answer in answers if answer not in refusals) < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="native"),
        pytest.param({"backend": "torch", "device": "cpu"}, id="torch", marks=pytest.mark.slow),
    ],
)
def test_a_child_of_an_idle_process_ranks_and_so_do_its_own_child_and_the_parent(
    folder: Path, options: dict[str, object]
) -> None:
    answer = run(IDLE, folder, **options)
    assert isinstance(answer, list)
    [difference, grandchild], parents = answer
    assert difference < 1e-5
    assert grandchild is True
    assert parents < 1e-5


@pytest.mark.slow
def test_a_child_opens_and_closes_a_model_on_torch_after_its_parent_used_torch(folder: Path) -> None:
    program = """
def logits():
    with Reranker(folder, **options) as reranker:
        return reranker.logits(PAIRS).tolist()
expected = logits()
print(json.dumps(in_child(logits) == expected))
"""
    assert run(program, folder, backend="torch", device="cpu") is True


@pytest.mark.slow
def test_on_torch_in_a_child_using_a_reranker_from_its_own_progress_is_an_error_and_not_a_deadlock(
    folder: Path,
) -> None:
    program = """
reranker = Reranker(folder, **options)
def work():
    return reranker.logits(PAIRS, on_progress=lambda _: reranker.logits(PAIRS)).tolist()
print(json.dumps(in_child(work)))
"""
    assert "cannot be used from inside its own on_progress" in str(run(program, folder, backend="torch", device="cpu"))


def test_a_child_forked_from_inside_on_progress_ends_the_call_and_ranks_again(folder: Path) -> None:
    program = """
reranker = Reranker(folder, num_threads=2, max_batch_tokens=200)
expected = reranker.logits(PAIRS).tolist()
forked = []
def fork(_):
    if not forked:
        forked.append(os.fork())
logits = reranker.logits(PAIRS, on_progress=fork).tolist()
same = logits == expected and reranker.logits(PAIRS).tolist() == expected
if not forked[0]:
    os._exit(7 if same else 1)
print(json.dumps([same, os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1])]))
"""
    assert run(program, folder) == [True, 7]


@pytest.mark.parametrize("asked", [{}, {"TOKENIZERS_PARALLELISM": "true"}, {"TOKENIZERS_PARALLELISM": "false"}])
def test_tokenizers_neither_waits_for_its_parents_threads_nor_prints_about_them(
    folder: Path, asked: dict[str, str]
) -> None:
    program = """
tokens = Reranker(folder, plan_only=True).tokens
texts = [f"{number} of many texts" * 20 for number in range(100)]
def ids():
    return [each.tolist() for each in tokens.text_encoder.encode(texts)]
expected = ids()
stop = threading.Event()
def work():
    while not stop.is_set():
        ids()
thread = threading.Thread(target=work)
thread.start()
same = []
for _ in range(2):
    time.sleep(0.02)
    same.append(in_child(lambda: ids() == expected))
stop.set()
thread.join()
same.append(in_child(lambda: ids() == expected))
print(json.dumps([*same, os.environ.get("TOKENIZERS_PARALLELISM")]))
"""
    assert run(program, folder, environment=asked) == [True] * 3 + [asked.get("TOKENIZERS_PARALLELISM")]


def test_processes_of_multiprocessing_that_fork_rank_and_embed(folder: Path, tmp_path: Path) -> None:
    embedding = write_embedding_model(tmp_path, folder)
    program = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from qwen3_reranker import Embedder
reranker, embedder = Reranker(folder, num_threads=2), Embedder(options["embedding"], num_threads=2)
def work(_):
    return reranker.logits(PAIRS).tolist(), embedder.documents(TEXTS).tolist()
expected = work(0)
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    answers = list(pool.map(work, range(4)))
print(json.dumps([each == expected for each in [*answers, work(0)]]))
"""
    assert run(program, folder, embedding=str(embedding)) == [True] * 5


def test_a_scheduler_of_the_parent_refuses_work_in_a_child(folder: Path) -> None:
    program = """
from qwen3_reranker.serve.scheduler import ScheduledRequest, Overloaded, Scheduler
reranker = Reranker(folder)
scheduler = Scheduler(reranker, batch_tokens=4096, max_waiting_tokens=4096)
def submit():
    scheduled = ScheduledRequest(reranker.rows(["q"], ["a"]), deadline=time.monotonic() + 100, on_end=lambda: None)
    scheduler.submit(scheduled)
def work():
    try:
        submit()
    except Overloaded as refused:
        scheduler.close()
        return refused.reason
with scheduler._changed:
    told = in_child(work)
submit()
scheduler.close()
print(json.dumps(told))
"""
    assert run(program, folder) == "this process was forked from the one that judges"
