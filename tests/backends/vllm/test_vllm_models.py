"""Models on a real vLLM, opened one after the other: layouts, precisions, errors, the server and jobs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from qwen3_reranker import CheckpointError, InputError, Reranker
from qwen3_reranker.errors import OutOfMemoryError, UnsupportedModelError
from testing.checkpoints import write_nano_checkpoint
from testing.layouts import SINGLE, edit_tensors, write_classifier, write_cross_encoder
from testing.live_server import live_server
from tests.backends.vllm.conftest import DOCUMENTS, QUERY

pytestmark = pytest.mark.slow

if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed; `make vllm` runs this in an environment of its own", allow_module_level=True)

SHAPE: dict[str, Any] = {"head_dim": 64, "hidden_size": 128, "intermediate_size": 256, "initializer_range": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a head of its own."""
    return write_nano_checkpoint(tmp_path_factory.mktemp("model"), tied=False, shards=2, **SHAPE)


def test_generators_of_the_process_are_left_as_they_were(folder: Path) -> None:
    random.seed(5)
    np.random.seed(5)
    with Reranker(folder, backend="vllm", max_length=512):
        found = (random.random(), np.random.rand())
    random.seed(5)
    np.random.seed(5)
    assert found == (random.random(), np.random.rand())


def test_every_layout_scores_as_it_does_here(folder: Path, tmp_path: Path) -> None:
    with Reranker(folder) as reranker:
        yes, no = reranker.answer_ids
    tied = write_nano_checkpoint(tmp_path / "tied", **SHAPE)
    layouts = {
        "words of its own": folder,
        "one row": write_classifier(tmp_path / "one", tied, yes_id=yes, no_id=no),
        "two rows": write_classifier(tmp_path / "two", tied, yes_id=yes, no_id=no, labels=("no", "yes")),
        "cross encoder": write_cross_encoder(tmp_path / "cross", tied, ids=(no, yes)),
    }
    for name, path in layouts.items():
        with Reranker(path) as here, Reranker(path, backend="vllm", max_length=512) as there:
            expected, ours = here.score(QUERY, DOCUMENTS[:8]).logits, there.score(QUERY, DOCUMENTS[:8]).logits
        np.testing.assert_allclose(ours, expected, atol=1e-4, err_msg=name)
        assert np.ptp(expected) > 0.01, name


def test_in_bfloat16_it_stays_near(local: Reranker, nano_folder: Path) -> None:
    with Reranker(nano_folder, backend="vllm", precision="bfloat16", max_length=512, prefix_cache_tokens=0) as reranker:
        first, again = (reranker.score(QUERY, DOCUMENTS) for _ in range(2))
    np.testing.assert_allclose(first.logits, local.score(QUERY, DOCUMENTS).logits, atol=0.15)
    assert first.usage == again.usage, "0 tokens of a prefix cache keep nothing between calls"


def test_what_does_not_fit_or_does_not_run_is_an_error_with_numbers(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match=r"8192.*GiB KV cache is needed.*lower max_length"):
        Reranker(folder, backend="vllm", engine_options={"kv_cache_memory_bytes": 2**20})
    with pytest.raises(UnsupportedModelError, match=r'head_dim is 8, .* only 32, 64, .*; use backend="cpu"'):
        Reranker(write_nano_checkpoint(tmp_path / "narrow"), backend="vllm")
    with pytest.raises(InputError, match="Unknown quantization method: zzz"):
        Reranker(folder, backend="vllm", engine_options={"quantization": "zzz"})
    with pytest.raises(InputError, match="did you mean 'enforce_eager'"):
        Reranker(folder, backend="vllm", engine_options={"enforce_eagre": True})


def test_a_weight_that_is_no_number_is_named(tmp_path: Path) -> None:
    import torch

    damaged = write_nano_checkpoint(tmp_path / "damaged", **SHAPE)
    edit_tensors(damaged / SINGLE, **{"model.norm.weight": torch.full((SHAPE["hidden_size"],), torch.nan)})
    with (
        Reranker(damaged, backend="vllm", max_length=512) as reranker,
        pytest.raises(CheckpointError, match=r"model\.norm\.weight"),
    ):
        reranker.score(QUERY, ["a"])


def test_the_server_scores_with_it(local: Reranker, nano_folder: Path) -> None:
    model = {"source": str(nano_folder), "options": {"backend": "vllm", "max_length": 512}}
    with live_server(models=[model]) as server:
        body = {"query": QUERY, "documents": DOCUMENTS, "raw_scores": True}
        reply = httpx2.post(f"{server.url}/v1/rerank", json=body, timeout=60).json()
    expected = local.rank(QUERY, DOCUMENTS)
    assert [each["index"] for each in reply["results"]] == [hit.index for hit in expected]


def test_a_job_runs_on_it_and_standard_output_stays_clean(tmp_path: Path, local: Reranker, nano_folder: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"query": QUERY, "document": text}) + "\n" for text in DOCUMENTS[:6]))
    command = [sys.executable, "-m", "qwen3_reranker", "score", str(pairs), "-m", str(nano_folder), "--backend", "vllm"]
    command += [
        "--max-length",
        "512",
        "--engine-option",
        "max_num_seqs=8",
        "--engine",
        "local",
        "-o",
        f"{tmp_path}/scored/",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 pairs")
    assert done.stdout.count("\n") == 1
    part = (tmp_path / "scored" / "part-00000.jsonl").read_text().splitlines()
    logits = [json.loads(line)["logit"] for line in part]
    np.testing.assert_allclose(logits, local.score(QUERY, DOCUMENTS[:6]).logits, atol=1e-4)
