"""A config.json is read as published and as transformers 5 writes it, and other networks are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError

# The published configuration of Qwen3-Reranker-0.6B; 4B and 8B differ in the fields below.
PUBLISHED: dict[str, Any] = {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151669,
}
FOUR = {"hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32, "num_hidden_layers": 36}
EIGHT = {**FOUR, "hidden_size": 4096, "intermediate_size": 12288, "tie_word_embeddings": False}


def read(**changes: Any) -> ModelConfig:
    return ModelConfig.from_json({**PUBLISHED, **changes}, "config.json")


@pytest.mark.parametrize(("changes", "parameters"), [({}, 595_776_512), (FOUR, 4_021_784_576), (EIGHT, 8_188_548_096)])
def test_the_published_sizes_have_the_published_numbers_of_parameters(changes: dict[str, Any], parameters: int) -> None:
    # The published count of the 8B model is without its second matrix of words, as its card and mteb count it.
    config = read(**changes)
    second_matrix = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    assert config.num_parameters in (parameters, parameters + second_matrix)


def test_transformers_5_keeps_the_rotary_base_elsewhere() -> None:
    fields = {key: value for key, value in PUBLISHED.items() if key not in ("rope_theta", "rope_scaling")}
    fields["rope_parameters"] = {"rope_theta": 5000.0, "rope_type": "default"}
    assert ModelConfig.from_json(fields, "config.json").rope_theta == 5000.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"attention_bias": True}, "attention_bias"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "more than full attention"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'"),
        ({"rope_scaling": [1]}, "must be an object"),
        ({"rope_theta": None}, "rope_theta must be a positive number, got None"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be a positive number"),
        ({"head_dim": 127}, "head_dim must be even"),
        ({"num_key_value_heads": 5}, "must be a multiple of num_key_value_heads"),
        ({"hidden_size": "1024"}, "hidden_size must be a positive whole number, got '1024'"),
        ({"hidden_size": True}, "hidden_size must be a positive whole number, got True"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a positive whole number, got 0"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
    ],
)
def test_what_cannot_be_run_is_refused_by_file_and_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^config.json: .*{message}"):
        read(**changes)


def test_the_published_file_itself_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PUBLISHED))
    assert ModelConfig.from_json(json.loads(path.read_text()), str(path)).num_hidden_layers == 28
