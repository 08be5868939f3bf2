"""The shape of a network, as config.json states it, as a frozen record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.errors import CheckpointError, InputError, UnsupportedModelError

_DEFAULT_MAX_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of one Qwen3 network; the names are those of its config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool

    @property
    def num_parameters(self) -> int:
        """Weights of the network, the language-model head included only where it is its own matrix."""
        norms = self.num_hidden_layers * (2 * self.hidden_size + 2 * self.head_dim) + self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return embeddings + self.num_linear_parameters + norms

    @property
    def num_linear_parameters(self) -> int:
        """Weights that multiply every computed token: the layers' matrices, neither embeddings nor norms."""
        attention = self.hidden_size * self.head_dim * 2 * (self.num_attention_heads + self.num_key_value_heads)
        return self.num_hidden_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    def row_length(self, max_length: int | None) -> int:
        """Tokens that a row may hold: `max_length`, or 8192. Raises InputError for more than the model can."""
        if max_length is None:
            return min(_DEFAULT_MAX_LENGTH, self.max_position_embeddings)
        if max_length > self.max_position_embeddings:
            raise InputError(
                f"max_length={max_length} is more than the model's {self.max_position_embeddings} positions; "
                "ask for less"
            )
        return max_length

    def to_json(self) -> dict[str, Any]:
        """The fields of a published config.json that describe the network. `from_json` reads them back.

        What belongs to a layout, the words or the storage is the writer's to add: architectures, ids, dtype.
        """
        return {
            "attention_bias": False,
            "attention_dropout": 0.0,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "max_window_layers": self.num_hidden_layers,
            "model_type": "qwen3",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": None,
            "rope_theta": self.rope_theta,
            "sliding_window": None,
            "tie_word_embeddings": self.tie_word_embeddings,
            "use_cache": True,
            "use_sliding_window": False,
            "vocab_size": self.vocab_size,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], source: str) -> ModelConfig:
        """Read the fields of a config.json; `source` names the file in errors.

        Raises CheckpointError for a missing or impossible field and for a kind of network we do not run.
        """
        refuse_other_networks(fields, source)
        config = cls(
            vocab_size=_positive(fields, "vocab_size", source),
            hidden_size=_positive(fields, "hidden_size", source),
            intermediate_size=_positive(fields, "intermediate_size", source),
            num_hidden_layers=_positive(fields, "num_hidden_layers", source),
            num_attention_heads=_positive(fields, "num_attention_heads", source),
            num_key_value_heads=_positive(fields, "num_key_value_heads", source),
            head_dim=_positive(fields, "head_dim", source),
            max_position_embeddings=_positive(fields, "max_position_embeddings", source),
            rms_norm_eps=_number(fields, "rms_norm_eps", source),
            rope_theta=_rope_theta(fields, source),
            tie_word_embeddings=_tied(fields, source),
        )
        if config.num_attention_heads % config.num_key_value_heads:
            raise CheckpointError(
                f"{source}: num_attention_heads ({config.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({config.num_key_value_heads})"
            )
        if config.head_dim % 2:
            raise CheckpointError(f"{source}: head_dim must be even for rotary positions, got {config.head_dim}")
        return config


def refuse_other_networks(fields: Mapping[str, Any], source: str) -> None:
    """Raise UnsupportedModelError, which names `source`, unless these fields of a config.json are a Qwen3 network's."""
    model_type = fields.get("model_type")
    if model_type is None:
        raise CheckpointError(f"{source}: model_type is missing; expected 'qwen3'")
    if model_type != "qwen3":
        raise UnsupportedModelError(
            f"{source}: model_type is {model_type!r:.80}: another architecture, not a Qwen3 network ('qwen3'), which "
            "alone is run; nothing is damaged, so take a Qwen3-Reranker or a model fine-tuned from one"
        )
    if fields.get("attention_bias"):
        raise UnsupportedModelError(f"{source}: attention_bias is set; Qwen3-Reranker networks have none")
    if fields.get("hidden_act", "silu") != "silu":
        raise UnsupportedModelError(f"{source}: hidden_act is {fields['hidden_act']!r:.80}; expected 'silu'")
    kinds = fields.get("layer_types") or []
    if fields.get("use_sliding_window") or any(kind != "full_attention" for kind in kinds):
        raise UnsupportedModelError(f"{source}: use_sliding_window or layer_types asks for more than full attention")


def _rope_theta(fields: Mapping[str, Any], source: str) -> float:
    # transformers 5 writes rope_parameters {rope_theta, rope_type}; earlier releases rope_theta and rope_scaling.
    rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise CheckpointError(f"{source}: the rotary settings must be an object, got {rope!r}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UnsupportedModelError(
            f"{source}: rope_type is {kind!r}; scaled rotary positions are not run, only 'default'"
        )
    return _number(rope if "rope_theta" in rope else fields, "rope_theta", source)


def _tied(fields: Mapping[str, Any], source: str) -> bool:
    tied = fields.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise CheckpointError(f"{source}: tie_word_embeddings must be true or false, got {tied!r}")
    return tied


def _positive(fields: Mapping[str, Any], name: str, source: str) -> int:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{source}: {name} must be a positive whole number, got {value!r}")
    return value


def _number(fields: Mapping[str, Any], name: str, source: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise CheckpointError(f"{source}: {name} must be a positive number, got {value!r}")
    return float(value)
