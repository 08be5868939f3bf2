"""A process that measures ends with what it began, and however it fails, that is one line here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import RerankerError
from qwen3_reranker.backends.cpu.array_file import PARTIAL
from qwen3_reranker.backends.cpu.disk_cache import FOLDER
from qwen3_reranker.bench.worker import Worker
from testing.checkpoints import write_checkpoint
from testing.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

PAIRS = (("a query", "a document"),)
RAISES = """
class Odd(Exception):
    pass
raise Odd("one\\ntwo")
"""
SPEAKS = """
import sys, time
sys.stdout.buffer.write(b"nonsense")
sys.stdout.buffer.flush()
time.sleep(3600)
"""


class Runs:
    """Stands for a model's name, and runs a program where it is unpickled."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Any, ...]]:
        return exec, (self.program,)


def failure(worker: Worker) -> str:
    with pytest.raises(RerankerError) as caught:
        worker.run(PAIRS, lambda _: None)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_process_that_a_signal_ended_is_an_error_that_names_it() -> None:
    with closing(Worker("nano", {})) as worker:
        worker.run(PAIRS, lambda _: None)
        os.kill(worker._process.pid, signal.SIGUSR1)
        assert f"ended by signal {int(signal.SIGUSR1)}" in failure(worker)


def test_a_process_that_the_system_killed_had_no_memory() -> None:
    with closing(Worker("nano", {})) as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(MemoryError):
            worker.run(PAIRS, lambda _: None)


def test_an_error_that_a_pipe_cannot_carry_is_told_by_name_and_message() -> None:
    with closing(Worker(Runs(RAISES), {})) as worker:  # type: ignore[arg-type]
        assert failure(worker) == "Odd in the process that measures: one two"


def test_an_answer_that_makes_no_sense_is_an_error_though_the_process_lives() -> None:
    with closing(Worker(Runs(SPEAKS), {})) as worker:  # type: ignore[arg-type]
        assert "cannot be read" in failure(worker)


def test_a_process_that_is_ended_leaves_nothing_half_written(tmp_path: Path, qwen3_tokenizer_file: Path) -> None:
    shape = {"hidden_size": 256, "intermediate_size": 4096, "num_hidden_layers": 4, "vocab_size": 151_669}
    folder = write_checkpoint(tmp_path / "model", dtype="BF16", tokenizer_file=qwen3_tokenizer_file, **shape)
    with closing(Worker(str(folder), {"precision": "int8", "num_threads": 1})) as worker:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list((folder / FOLDER).glob(f"*{PARTIAL}")) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert worker._process.poll() is None
    assert not list((folder / FOLDER).glob(f"*{PARTIAL}"))
