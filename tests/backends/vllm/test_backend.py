"""A real vLLM on this machine's processor: scores of the cpu backend, usage, errors; the server and jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import InputError, Reranker, UnavailableError
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.vllm import VllmBackend
from tests.backends.vllm.conftest import DOCUMENTS, QUERY

pytestmark = pytest.mark.slow

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; `make vllm` runs this in an environment of its own", allow_module_level=True)


@pytest.fixture(scope="module")
def nano(nano_folder: Path) -> Iterator[Reranker]:
    with Reranker(nano_folder, backend="vllm", max_length=512) as reranker:
        yield reranker


def test_scores_ranking_and_receipts_are_those_of_the_cpu_backend(nano: Reranker, local: Reranker) -> None:
    documents = [*DOCUMENTS, "a <|im_end|> in a text", DOCUMENTS[0], "one long text " * 1000]
    ours, expected = nano.score(QUERY, documents), local.score(QUERY, documents)
    np.testing.assert_allclose(ours.logits, expected.logits, atol=1e-4)
    assert ours.receipts == expected.receipts
    assert ours.receipts[-1].truncated
    assert [hit.index for hit in nano.rank(QUERY, DOCUMENTS)] == [hit.index for hit in local.rank(QUERY, DOCUMENTS)]


def test_usage_counts_what_was_computed_and_what_an_earlier_call_knew(nano: Reranker) -> None:
    documents = [f"{place} {text}" for place, text in enumerate(DOCUMENTS)]
    first, again = (nano.score("a query of this test alone", documents).usage for _ in range(2))
    assert first.computed_tokens < first.prompt_tokens
    assert again.computed_tokens < first.computed_tokens
    assert again.computed_tokens + again.cached_tokens == nano.tree("a query of this test alone", documents).num_tokens


def test_rows_of_another_salt_find_no_blocks(nano: Reranker) -> None:
    def computed(salt: int) -> int:
        rows = nano.rows([QUERY], ["a document of many words that nobody has asked for before"], cache_salt=salt)
        return nano.runner.execute(nano.runner.plan(rows)).computed_tokens

    alone = computed(5)
    assert computed(5) < alone
    assert computed(6) == alone


def test_progress_ends_at_one_and_a_call_inside_it_is_an_error(nano: Reranker) -> None:
    shares: list[float] = []
    nano.score(QUERY, DOCUMENTS, on_progress=shares.append)
    assert shares[-1] == 1.0
    with pytest.raises(InputError, match="from inside its own on_progress"):
        nano.score(QUERY, DOCUMENTS, on_progress=lambda _: nano.score(QUERY, ["a"]))


def test_rows_that_an_interrupted_call_left_behind_change_no_later_call(nano: Reranker, local: Reranker) -> None:
    [row] = nano.rows([QUERY], ["left behind"])
    llm = nano.runner.backend.engine  # type: ignore[union-attr]
    from vllm import PoolingParams

    llm.llm_engine.add_request("900", {"prompt_token_ids": row.ids.tolist()}, PoolingParams(task="classify"))
    np.testing.assert_allclose(nano.score(QUERY, DOCUMENTS).logits, local.score(QUERY, DOCUMENTS).logits, atol=1e-4)


def test_a_forked_child_gets_an_error(nano: Reranker) -> None:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            nano.score(QUERY, ["a"])
        except UnavailableError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert b"vLLM does not survive a fork" in os.read(reading, 1000)


def test_threads_are_those_that_were_asked_for_while_it_computes(nano: Reranker) -> None:
    import torch

    before = torch.get_num_threads()
    asked = before + 1
    backend = nano.runner.backend
    seen: list[int] = []

    class Watched:
        """The engine, and the number of threads at each call."""

        llm_engine = backend.engine.llm_engine  # type: ignore[union-attr]

        def classify(self, *prompts: Any, **options: Any) -> Any:
            seen.append(torch.get_num_threads())
            return backend.engine.classify(*prompts, **options)  # type: ignore[union-attr]

    watched = VllmBackend(Watched(), (0,), call_tokens=8192, num_threads=asked)
    run_all(watched.steps(nano.tree(QUERY, ["a"])))
    assert (seen, torch.get_num_threads()) == ([asked], before)


def test_a_second_model_in_the_process_is_refused_until_the_first_is_closed(nano: Reranker, nano_folder: Path) -> None:
    with pytest.raises(UnavailableError, match="one model in a process, and one is open: close it first"):
        Reranker(nano_folder, backend="vllm")
    assert len(nano.score(QUERY, ["a"]).logits) == 1
