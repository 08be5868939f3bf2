"""Scores that are not finite are blamed on what is to blame: a weight, which is named, or the precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from qwen3_reranker import CheckpointError, Embedder, PrecisionError, Reranker
from qwen3_reranker.doctor import check_files
from testing.checkpoints import write_small_checkpoint
from testing.kernel_variants import VARIANTS_OF_8_BITS
from testing.layouts import SINGLE, edit_tensors, write_embedding_model

MATRIX = "model.layers.0.mlp.down_proj.weight"
FLOAT16: dict[str, Any] = {"backend": "torch", "device": "cpu", "precision": "float16"}


def with_matrix(folder: Path, scale: float, damage: float | None = None) -> Path:
    """A random network with one matrix scaled, and perhaps one number of it replaced."""
    write_small_checkpoint(folder, initializer_range=0.12)
    matrix = load_file(folder / SINGLE)[MATRIX] * scale
    if damage is not None:
        matrix[3, 5] = damage
    edit_tensors(folder / SINGLE, **{MATRIX: matrix})
    return folder


def rank(folder: Path, **options: Any) -> list[float]:
    with Reranker(folder, disk_cache=False, **options) as reranker:
        return [hit.logit for hit in reranker.rank("a query", ["one document", "another"])]


@pytest.mark.slow
def test_float16_that_overflows_is_called_that_where_other_precisions_run(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path / "model", 3e6)
    with pytest.raises(
        PrecisionError, match=r"float16 cannot hold .* 65,504\), and every weight is finite: use .*float32"
    ):
        rank(folder, **FLOAT16)
    for options in ({}, {"precision": "bfloat16"}, {"precision": "int8"}, FLOAT16 | {"precision": "bfloat16"}):
        assert len(rank(folder, **options)) == 2
    embedding = write_embedding_model(tmp_path / "embedding", folder)
    with Embedder(embedding, **FLOAT16) as embedder, pytest.raises(PrecisionError, match="float16 cannot hold"):
        embedder.documents(["a text"])


def test_8_bits_that_overflow_are_called_that(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path, 3e38)
    for precision in ("int8", "int8x2"):
        with pytest.raises(PrecisionError, match=f"{precision} cannot hold this network's numbers"):
            rank(folder, precision=precision, kernels=VARIANTS_OF_8_BITS[0])


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "options", [{}, {"precision": "bfloat16"}, {"precision": "int8"}, FLOAT16, {"backend": "reference"}], ids=str
)
def test_a_weight_that_is_not_finite_is_named_in_every_precision(
    options: dict[str, Any], damage: float, tmp_path: Path
) -> None:
    folder = with_matrix(tmp_path, 1, damage)
    with pytest.raises(CheckpointError, match=rf"{SINGLE}: tensor '{MATRIX}' holds NaN or infinity"):
        rank(folder, **options)


def test_the_doctor_looks_at_every_number(tmp_path: Path) -> None:
    [finding] = check_files(with_matrix(tmp_path, 1, float("nan"))).findings
    assert finding.fault.name == "damaged-weights"
    assert MATRIX in finding.evidence


def test_weights_are_searched_once_however_often_scores_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Reranker(with_matrix(tmp_path, 1, float("nan"))) as reranker:
        for _ in range(2):
            with pytest.raises(CheckpointError, match="holds NaN"):
                reranker.rank("a query", ["a document"])
            edit_tensors(tmp_path / SINGLE, **{MATRIX: torch.zeros(32, 48)})
