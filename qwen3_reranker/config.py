"""The shape of a network and the knobs of an engine, as frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from qwen3_reranker.errors import CheckpointError, InputError, UnsupportedModelError, unknown
from qwen3_reranker.option_fields import described, option
from qwen3_reranker.prompt import TEMPLATES, template

BackendName = Literal["cpu", "torch", "reference"]
PrecisionName = Literal["float32", "int8", "int8x2", "bfloat16", "float16", "float8", "float64"]
KernelsName = Literal["native", "avx512-vnni", "avx2", "neon-dot", "portable", "compiled"]
PromptName = Literal["card", "card-vllm", "card-lost-newline", "card-no-think-block", "pair", "zerank"]
SpecialTokens = Literal["literal", "parse"]

PRECISIONS_OF = {
    "cpu": ("float32", "int8", "int8x2"),
    "torch": ("float32", "bfloat16", "float16", "float8"),
    "reference": ("float32", "float64"),
}
KERNELS_OF = {
    "cpu": ("native", "avx512-vnni", "avx2", "neon-dot", "portable"),
    "torch": ("native", "compiled"),
    "reference": ("native",),
}
BACKENDS: tuple[str, ...] = get_args(BackendName)
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
KERNELS: tuple[str, ...] = get_args(KernelsName)
#: Tokens computed at once where nothing is asked for: a processor's caches, or a GPU's many units, are busy with that.
BATCH_TOKENS_OF = {"cpu": 4096, "torch": 16384, "reference": 4096}
SPECIAL_TOKENS: tuple[str, ...] = get_args(SpecialTokens)

_DEFAULT_MAX_LENGTH = 8192
_MOST_THREADS = 4096
_MOST = 2**31 - 1


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
        """Tokens that a row may hold: what was asked for, or 8192; raises InputError for more than the model can."""
        if max_length is None:
            return min(_DEFAULT_MAX_LENGTH, self.max_position_embeddings)
        if max_length > self.max_position_embeddings:
            raise InputError(
                f"max_length={max_length} is more than the model's {self.max_position_embeddings} positions; "
                "ask for less"
            )
        return max_length

    def to_json(self) -> dict[str, Any]:
        """The fields of a published config.json that say what the network is: `from_json` reads them back.

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


class EmbedderOptions(TypedDict, total=False):
    """What an Embedder may be given; EngineOptions says what each is."""

    backend: BackendName
    precision: PrecisionName
    device: str | None
    kernels: KernelsName
    max_length: int | None
    max_batch_tokens: int | None
    prefix_cache_tokens: int
    min_shared_tokens: int
    num_threads: int | None
    special_tokens: SpecialTokens
    disk_cache: bool


class RerankerOptions(EmbedderOptions, total=False):
    """What a Reranker may be given: all fields of EngineOptions."""

    prompt: PromptName | None
    truncate_queries: bool


@described
@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to run a model. One dial trades memory for speed: `max_batch_tokens`."""

    backend: str = option(
        "cpu",
        "What runs the network: cpu is this package's own kernels, torch is for GPUs, reference is plain and slow.",
        choices=BACKENDS,
        group="Engine",
    )
    precision: str = option(
        "float32",
        "What the network computes in: "
        + "; ".join(f"on {name} {', '.join(some)}" for name, some in PRECISIONS_OF.items())
        + ". int8 is weights and activations of 8 bits, int8x2 gives activations 16 bits.",
        choices=PRECISIONS,
        group="Engine",
    )
    device: str | None = option(
        None,
        "Where the torch backend runs: cuda, cuda:1, mps, cpu.",
        unit="NAME",
        shown="the first there is",
        group="Engine",
    )
    kernels: str = option(
        "native",
        "What computes. On cpu: native is the best compiled variant that this processor runs. "
        "On torch: compiled fuses operations, and starts slower.",
        choices=KERNELS,
        group="Engine",
    )
    prompt: str | None = option(
        None,
        "The prompt that the model was trained with: how instruction, query and document are written for it.",
        choices=tuple(TEMPLATES),
        shown="what its files say, or card",
        group="Model",
    )
    max_length: int | None = option(
        None,
        "Tokens of prompt and document together; the end of a longer document is cut.",
        unit="N",
        shown="8192, or the model's limit",
        group="Engine",
    )
    max_batch_tokens: int | None = option(
        None,
        "Tokens that are computed at once: memory grows with it, scores do not change.",
        unit="N",
        shown=f"{BATCH_TOKENS_OF['cpu']}; on torch {BATCH_TOKENS_OF['torch']}",
        group="Engine",
    )
    prefix_cache_tokens: int = option(
        1024, "Tokens whose keys and values are kept between calls (template, recent queries); 0 keeps none."
    )
    min_shared_tokens: int = option(
        4, "A common beginning with fewer tokens is computed for each row, as a segment of its own costs more."
    )
    num_threads: int | None = option(
        None,
        "Threads that compute.",
        unit="N",
        flag="--threads",
        shown="as many as the process may use",
        group="Engine",
    )
    special_tokens: str = option(
        "literal",
        "How <|im_end|> and other control tokens in your texts are read: literal as text; parse as control tokens, as "
        "the reference code does.",
        choices=SPECIAL_TOKENS,
        group="Engine",
    )
    truncate_queries: bool = option(
        False, "Cut a query that leaves no space for a document, instead of an error.", group="Engine"
    )
    disk_cache: bool = option(
        True, "Keep 8-bit weights next to the model's files, for a fast next start.", group="Engine"
    )

    def __post_init__(self) -> None:
        if self.prompt is not None:
            template(self.prompt)
        _one_of("backend", self.backend, BACKENDS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("special_tokens", self.special_tokens, SPECIAL_TOKENS)
        _one_of("kernels", self.kernels, KERNELS)
        if self.precision not in (known := PRECISIONS_OF[self.backend]):
            other = next(each for each, some in PRECISIONS_OF.items() if self.precision in some)
            raise InputError(
                f"the {self.backend} backend runs in {', '.join(known)}, got precision={self.precision!r}; "
                f'use backend="{other}" for {self.precision}'
            )
        if self.kernels not in (known := KERNELS_OF[self.backend]):
            other = next(each for each, some in KERNELS_OF.items() if self.kernels in some)
            raise InputError(
                f"the {self.backend} backend has kernels {', '.join(known)}, got kernels={self.kernels!r}; leave them "
                f'out or use backend="{other}"'
            )
        if self.device is not None and (self.backend != "torch" or not isinstance(self.device, str)):
            raise InputError(
                f"device is a name such as cuda and belongs to the torch backend, got device={self.device!r} with "
                f'backend={self.backend!r}; use backend="torch" or leave it out'
            )
        _at_least("max_length", self.max_length, 1)
        _at_least("max_batch_tokens", self.max_batch_tokens, 1)
        _at_least("num_threads", self.num_threads, 1, _MOST_THREADS)
        _at_least("prefix_cache_tokens", self.prefix_cache_tokens, 0)
        _at_least("min_shared_tokens", self.min_shared_tokens, 1)
        for name in ("truncate_queries", "disk_cache"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")

    @property
    def batch_tokens(self) -> int:
        """Tokens computed at once: what was asked for, or the backend's own."""
        return self.max_batch_tokens or BATCH_TOKENS_OF[self.backend]


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(name, value, known)


def _at_least(name: str, value: int | None, least: int, most: int = _MOST) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if value > most:
        raise InputError(f"{name} must be at most {most:,}, got {value:,}")


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
