"""The checkpoints with outliers have the outliers that they claim, and show what those cost in 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.drift import measure_drift
from testing.kernel_variants import VARIANTS_OF_8_BITS
from testing.outliers import (
    MASSIVE,
    SINKS,
    add_attention_sink,
    add_massive_activations,
    add_residual_sinks,
    residual_stream,
    write_even_checkpoint,
)

pytestmark = pytest.mark.slow

SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
}


@pytest.fixture(scope="module")
def row() -> list[int]:
    """A row's tokens; the first one stands there three times."""
    with Reranker("nano", plan_only=True) as nano:
        tokens = [int(token) for token in nano.tree("why is the sky blue", ["because it scatters light"]).row(0)]
    assert tokens.count(tokens[0]) == 3
    return tokens


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_even_checkpoint(tmp_path, **SHAPE)


def over_median(folder: Path, tokens: list[int]) -> np.ndarray:
    """Every number of the residual stream over its token's median: (layers + 1, tokens, hidden)."""
    stream = np.abs(residual_stream(folder, tokens))
    return stream / np.median(stream, axis=2, keepdims=True)


def test_without_outliers_no_channel_stands_out_and_layers_are_alike(folder: Path, row: list[int]) -> None:
    assert over_median(folder, row).max() < 10
    sizes = [float(x_TD.std()) for x_TD in residual_stream(folder, row)]
    assert max(sizes) < 2 * min(sizes)


def test_massive_activations_sit_behind_the_first_layer_at_the_first_token_alone(folder: Path, row: list[int]) -> None:
    add_massive_activations(folder, row[0])
    ratio = over_median(folder, row)
    assert ratio[1:, 0][:, MASSIVE].min() > 800
    assert ratio[1:, 0][:, MASSIVE].max() < 1200
    assert ratio[0].max() < 20
    assert ratio[1:, 1:].max() < 20
    assert over_median(folder, row[1:]).max() < 20


def test_residual_sinks_are_large_at_every_token_behind_every_layer(folder: Path, row: list[int]) -> None:
    add_residual_sinks(folder)
    ratio = over_median(folder, row)
    assert ratio[..., SINKS].min() > 15
    assert ratio[..., SINKS].max() < 60
    assert np.delete(ratio, SINKS, axis=2).max() < 10


def test_an_attention_sink_takes_most_attention_of_half_the_heads(folder: Path, row: list[int]) -> None:
    import torch
    from transformers import AutoModel

    add_attention_sink(folder, row[0])
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        layers = model(input_ids=torch.tensor([row]), output_attentions=True).attentions
    # Tokens that have more than a few to look at.
    first_LH = np.array([layer[0, :, 10:, 0].mean(dim=1).numpy() for layer in layers])
    assert first_LH[1:, :2].min() > 0.5
    assert first_LH[1:, 2:].max() < 0.1
    assert first_LH[0].max() < 0.1


def test_8_bits_suffer_from_outliers_at_every_token_and_16_bits_of_activations_do_not(folder: Path) -> None:
    usual = largest_moves(folder)
    add_residual_sinks(folder)
    with_sinks = largest_moves(folder)
    assert with_sinks["int8"] > 1.3 * usual["int8"]
    assert with_sinks["int8x2"] < 1.1 * usual["int8x2"]
    assert with_sinks["int8x2"] < 0.5 * with_sinks["int8"]


def test_outliers_at_the_first_token_alone_cost_next_to_nothing(folder: Path, row: list[int]) -> None:
    usual = largest_moves(folder)
    add_massive_activations(folder, row[0])
    assert largest_moves(folder)["int8"] < 1.1 * usual["int8"]


def test_an_attention_sink_is_steadier_with_16_bits_of_activations(folder: Path, row: list[int]) -> None:
    add_attention_sink(folder, row[0])
    int8, int8x2 = measure_drift(folder, ("int8", "int8x2"), kernels=VARIANTS_OF_8_BITS[0]).drifts
    assert int8x2.max_delta < 0.7 * int8.max_delta
    assert int8x2.kendall_tau > int8.kendall_tau


def largest_moves(folder: Path) -> dict[str, float]:
    """Of each precision the largest move of a logit, over the spread of float32's logits."""
    report = measure_drift(folder, ("int8", "int8x2"), kernels=VARIANTS_OF_8_BITS[0])
    return {drift.precision: drift.max_delta / report.spread for drift in report.drifts}
