"""names: the one table of weights, against the published names as the tests write them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.weights.names import Layer, expected_shapes, layer_names
from tests.testing.checkpoints import tensor_shapes, write_checkpoint


@pytest.mark.parametrize("tied", [True, False])
def test_the_table_holds_the_published_names_and_shapes_and_nothing_else(tied: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tied=tied, hidden_size=24, num_attention_heads=6, num_key_value_heads=3)
    config = json.loads((tmp_path / "config.json").read_text())
    expected = dict(expected_shapes(ModelConfig.from_json(config, "config.json")))
    assert expected == tensor_shapes(config, with_head=not tied)


def test_a_layer_maps_name_by_name() -> None:
    names = layer_names(7)
    assert names.query == "model.layers.7.self_attn.q_proj.weight"
    assert names.attention_norm == "model.layers.7.input_layernorm.weight"
    lengths = names.map(len)
    assert [getattr(lengths, field.name) for field in fields(Layer)] == [
        len(getattr(names, field.name)) for field in fields(Layer)
    ]
