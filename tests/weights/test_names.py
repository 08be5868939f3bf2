"""names: the one table of weights, against the published names as the tests write them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.weights.names import EMBEDDING, LayerTensors, expected_shapes, layer_names, without_wrappers
from testing.checkpoints import tensor_shapes, write_checkpoint


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
    assert [getattr(lengths, field.name) for field in fields(LayerTensors)] == [
        len(getattr(names, field.name)) for field in fields(LayerTensors)
    ]


def test_the_words_of_wrappers_are_taken_out_wherever_they_stand_and_prefixes_only_where_every_name_has_them() -> None:
    def read(*tensors: str) -> list[str]:
        return list(without_wrappers(dict.fromkeys(tensors, 0)))

    inside = "model.layers.0._checkpoint_wrapped_module._orig_mod.mlp.up_proj.weight"
    assert read(EMBEDDING, inside) == [EMBEDDING, "model.layers.0.mlp.up_proj.weight"]
    assert read("module.embed_tokens.weight", "module.norm.weight") == ["embed_tokens.weight", "norm.weight"]
    for unclear in (
        ("module.model.embed_tokens.weight", "step"),
        ("_orig_mod.step", "step"),
        ("other.embed_tokens.weight",),
        ("module.", "module.x"),
        (),
    ):
        assert read(*unclear) == list(unclear)
