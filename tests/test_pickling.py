"""A copy of a model, and one that another process reads, is the model opened again; rankings travel as they are."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import Embedder, InputError, Reranker
from qwen3_reranker.weights import lasting_name
from testing.gguf_files import write_gguf
from testing.layouts import write_embedding_model

PAIRS = [("a query", "a document"), ("a query", "another")]


def pickled(each: Any) -> Any:
    return pickle.loads(pickle.dumps(each))


@pytest.mark.parametrize("copied", [pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_copy_has_the_options_and_the_bits_of_the_first_and_outlives_it(
    small_checkpoint: Path, copied: Callable[[Any], Any]
) -> None:
    with Reranker(small_checkpoint, precision="int8", max_length=300, num_threads=1) as reranker:
        expected = reranker.logits(PAIRS)
        second = copied(reranker)
    with second:
        assert second.options == reranker.options
        assert np.array_equal(second.logits(PAIRS), expected)


def test_an_embedder_is_copied_with_its_dimension(small_checkpoint: Path, tmp_path: Path) -> None:
    with Embedder(write_embedding_model(tmp_path, small_checkpoint), dim=32) as embedder, pickled(embedder) as second:
        assert second.dim == 32
        assert np.array_equal(second.documents(["a text"]), embedder.documents(["a text"]))


def test_the_bundled_model_and_a_model_that_only_plans_stay_what_they_are() -> None:
    with Reranker(plan_only=True) as reranker, pickled(reranker) as second:
        assert second.tree("query", ["a document"]).num_rows == 1
        with pytest.raises(InputError, match="made with plan_only, so no weights are loaded"):
            second.rank("query", ["a document"])


def test_a_closed_one_cannot_be_copied_and_says_so(small_checkpoint: Path) -> None:
    with Reranker(small_checkpoint) as reranker:
        pass
    for copied in (pickled, copy.copy, copy.deepcopy):
        with pytest.raises(InputError, match="this Reranker is closed; make a new one"):
            copied(reranker)


def test_a_relative_path_is_found_from_another_folder(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = write_gguf(tmp_path / "small.gguf", small_checkpoint)
    monkeypatch.chdir(tmp_path)
    with Reranker(gguf.name) as reranker:
        expected, content = reranker.logits(PAIRS), pickle.dumps(reranker)
    monkeypatch.chdir("/")
    with pickle.loads(content) as second:
        assert np.array_equal(second.logits(PAIRS), expected)


@pytest.mark.parametrize(
    ("model", "revision", "expected"),
    [
        ("nano", None, ("nano", None)),
        ("org/tiny", None, ("org/tiny", "0123456789" * 4)),
        ("org/tiny", "main", ("org/tiny", "0123456789" * 4)),
        ("org/tiny:Q8_0", None, ("org/tiny:Q8_0", "0123456789" * 4)),
        ("hf://org/tiny@main/part/file.gguf", None, ("org/tiny:part/file.gguf", "0123456789" * 4)),
    ],
)
def test_a_model_of_the_hub_is_opened_at_the_same_commit(
    model: str, revision: str | None, expected: tuple[str, str | None]
) -> None:
    snapshot = Path("/cache/hub/models--org--tiny/snapshots") / ("0123456789" * 4)
    assert lasting_name(model, revision, snapshot) == expected


def test_a_model_of_the_hub_whose_place_is_no_cache_keeps_its_revision() -> None:
    assert lasting_name("org/tiny", "v2", Path("/some/folder")) == ("org/tiny", "v2")


def test_a_pool_of_processes_ranks_with_a_rerankers_own_method(small_checkpoint: Path) -> None:
    with Reranker(small_checkpoint, num_threads=1) as reranker:
        expected = reranker.rank("query", ["a", "b", "c"])
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            ranking = pool.submit(reranker.rank, "query", ["a", "b", "c"]).result(timeout=300)
    assert ranking == expected


def test_a_process_that_ends_while_a_daemon_thread_ranks_prints_nothing(small_checkpoint: Path) -> None:
    program = """
import sys, threading, time
from qwen3_reranker import Reranker
started = threading.Event()
def work():
    reranker = Reranker(sys.argv[1], num_threads=2)
    while True:
        reranker.rank(f"query {time.monotonic()}", ["word " * 99] * 9, on_progress=lambda _: started.set())
threading.Thread(target=work, daemon=True).start()
started.wait()
"""
    command = [sys.executable, "-c", program, str(small_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=dict(os.environ))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_dictionaries_of_a_ranking_are_plain_values(small_reranker: Reranker) -> None:
    ranking = small_reranker.rank("query", ["a document", "another"])
    dictionaries = ranking.to_dicts()
    assert json.loads(json.dumps(dictionaries)) == dictionaries
    assert list(dictionaries[0]) == [
        *("index", "logit", "probability", "document"),
        *("document_tokens", "kept_tokens", "query_tokens", "kept_query_tokens", "is_lower_bound"),
    ]
    assert [each["document"] for each in dictionaries] == [hit.document for hit in ranking]
