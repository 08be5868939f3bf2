"""Who takes part: ours and the rivals, each in the settings that served it best."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Participant:
    """A worker's module, environment (None: this one) and settings, as words and as data.

    products: the kind of its matrix products, whose rate by torch its own is compared with.
    """

    name: str
    title: str
    module: str
    environment: str | None
    settings: str
    load: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    products: str = "float32"
    preload: str | None = None

    @property
    def worker(self) -> str:
        """Participants with the same key share a process in turns; only their calls differ."""
        return f"{self.module} {json.dumps(self.load, sort_keys=True)}"


def _vllm(name: str, form: str, load: dict[str, Any]) -> Participant:
    return Participant(
        name,
        "vLLM",
        "vllm_cpu",
        "vllm_cpu",
        f"{form}, prefix caching in blocks of 32, batches of {load['batched_tokens']} tokens, Intel's OpenMP",
        load,
        {"call": 32},
        products="int8" if load["quantised"] else load["dtype"],
        preload="lib/libiomp5.so",
    )


OURS = (
    Participant("ours-float32", "**qwen3_reranker**", "ours", None, "float32", {"precision": "float32"}),
    Participant(
        "ours-bfloat16",
        "**qwen3_reranker**",
        "ours",
        None,
        "bfloat16",
        {"precision": "bfloat16"},
        products="bfloat16",
    ),
    Participant("ours-int8", "**qwen3_reranker**", "ours", None, "int8", {"precision": "int8"}, products="int8"),
)
RIVALS = (
    Participant(
        "card",
        "model card's code",
        "model_card",
        "model_card",
        "float32, batch 8 by length, logits of the last position",
        run={"all_logits": False, "batch": 8, "most_tokens": 16384},
    ),
    Participant(
        "card-all-logits",
        "model card's code",
        "model_card",
        "model_card",
        "float32, batch 8 by length, logits of every position as published",
        run={"all_logits": True, "batch": 8, "most_tokens": 4096},
    ),
    Participant(
        "st-8",
        "sentence-transformers",
        "sentence_transformers",
        "sentence_transformers",
        "CrossEncoder, float32, batch 8",
        {"dtype": "float32"},
        {"batch": 8},
    ),
    Participant(
        "st-32",
        "sentence-transformers",
        "sentence_transformers",
        "sentence_transformers",
        "CrossEncoder, float32, batch 32",
        {"dtype": "float32"},
        {"batch": 32},
    ),
    Participant(
        "st-8-bfloat16",
        "sentence-transformers",
        "sentence_transformers",
        "sentence_transformers",
        "CrossEncoder, bfloat16, batch 8",
        {"dtype": "bfloat16"},
        {"batch": 8},
        products="bfloat16",
    ),
    Participant(
        "st-32-bfloat16",
        "sentence-transformers",
        "sentence_transformers",
        "sentence_transformers",
        "CrossEncoder, bfloat16, batch 32",
        {"dtype": "bfloat16"},
        {"batch": 32},
        products="bfloat16",
    ),
    Participant(
        "llama-cpp",
        "llama.cpp",
        "llama_cpp",
        "llama_cpp",
        "Q8_0, batches of 512 tokens without padding",
        run={"share": False, "batch_tokens": 512},
        products="int8",
    ),
    Participant(
        "llama-cpp-shared",
        "llama.cpp",
        "llama_cpp",
        "llama_cpp",
        "Q8_0, head's K/V copied by hand, batches of 512 tokens",
        run={"share": True, "batch_tokens": 512},
        products="int8",
    ),
    Participant(
        "openvino-genai",
        "OpenVINO GenAI",
        "openvino_genai",
        "openvino",
        "TextRerankPipeline, classifier form, int8, groups of 128, batch 1",
        {"group": 128},
        {"batch": 1},
        products="int8",
    ),
    Participant(
        "openvino-direct",
        "OpenVINO",
        "openvino_direct",
        "openvino",
        "int8, groups of 128, head's K/V kept by hand, one thread a stream, batch 1",
        {"group": 128, "hint": "f32"},
        products="int8",
    ),
    Participant(
        "openvino-direct-bfloat16",
        "OpenVINO",
        "openvino_direct",
        "openvino",
        "8-bit weights, precision hint bf16, head's K/V kept by hand, one thread a stream, batch 1",
        {"group": 128, "hint": "bf16"},
        products="bfloat16",
    ),
    Participant(
        "ctranslate2",
        "CTranslate2",
        "ctranslate2",
        "ctranslate2",
        "int8, head as static_prompt, one thread a worker, batch 1",
        {"compute_type": "int8"},
        products="int8",
    ),
    _vllm("vllm-w8a8", "W8A8, float32 activations", {"quantised": True, "dtype": "float32", "batched_tokens": 512}),
    _vllm(
        "vllm-w8a8-bfloat16",
        "W8A8, bfloat16 activations",
        {"quantised": True, "dtype": "bfloat16", "batched_tokens": 512},
    ),
    _vllm("vllm-bfloat16", "bfloat16", {"quantised": False, "dtype": "bfloat16", "batched_tokens": 2048}),
)
ALL = {participant.name: participant for participant in (*OURS, *RIVALS)}
