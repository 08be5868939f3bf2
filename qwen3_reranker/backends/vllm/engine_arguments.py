"""A checkpoint and options -> the arguments of vLLM's engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, UnsupportedModelError
from qwen3_reranker.weights import Checkpoint, names
from qwen3_reranker.weights.quantised import QuantisedTensor
from qwen3_reranker.weights.tied import UNTIED

# What a Reranker says itself, and under which name.
_OURS = {
    "model": "model",
    "revision": "revision",
    "dtype": "precision",
    **dict.fromkeys(("tokenizer", "runner", "convert", "hf_overrides", "pooler_config", "chat_template"), ""),
    **dict.fromkeys(("trust_remote_code", "enable_lora", "skip_tokenizer_init", "enable_prefix_caching"), ""),
}
# vLLM renders a conversation with a checkpoint's template when it starts. This one runs nothing of the checkpoint's.
_EMPTY_TEMPLATE = "{{ '' }}"
# Of a processor: rows of full length whose keys and values fit, as vLLM would take nearly all memory there is.
_ROWS_IN_MEMORY = 2


def engine_arguments(
    checkpoint: Checkpoint, options: EngineOptions, known: Collection[str], on_cpu: bool
) -> dict[str, Any]:
    """What vLLM is opened with. known: the names of its options. on_cpu: it runs on a processor.

    Raises InputError for an option that vLLM lacks or that is the Reranker's own, and UnsupportedModelError for a
    layout that vLLM does not read.
    """
    given = dict(options.engine_options or {})
    _refuse_names(given, known)
    row_length = checkpoint.config.row_length(options.max_length)
    most = given.get("max_model_len", row_length)
    if not isinstance(most, int) or most < row_length:
        raise InputError(
            f"max_model_len is {most}, but rows have up to {row_length:,} tokens: a document is cut at max_length, so "
            f"give max_length={most} instead"
        )
    if options.max_batch_tokens is not None and "max_num_batched_tokens" in given:
        raise InputError("max_batch_tokens is max_num_batched_tokens of vLLM; give one of them")
    return {
        "model": str(checkpoint.folder),
        "runner": "pooling",
        "dtype": options.precision,
        "hf_overrides": _classifier(checkpoint, options.prompt),
        "chat_template": _EMPTY_TEMPLATE,
        "use_tqdm_on_load": False,
        "enable_prefix_caching": True,
        "max_model_len": row_length,
        "max_num_batched_tokens": options.batch_tokens,
        **(_of_a_processor(checkpoint.config, options.precision, row_length, given) if on_cpu else {}),
        **given,
    }


def convert_advice(checkpoint: Checkpoint) -> str:
    """The command that writes the checkpoint as vLLM reads it."""
    return f"`qwen3-reranker convert {checkpoint.name} FOLDER --to hf`"


def _refuse_names(given: Mapping[str, Any], known: Collection[str]) -> None:
    for name in given:
        if name in _OURS:
            instead = f"give {_OURS[name]} of the Reranker" if _OURS[name] else "the Reranker sets it itself"
            raise InputError(f"engine_options cannot hold {name!r}: {instead}")
        if name not in known:
            alike = get_close_matches(str(name), known, n=3)
            meant = f"did you mean {' or '.join(map(repr, alike))}?" if alike else "see the arguments of vllm.LLM"
            raise InputError(f"vLLM has no option {name!r}: {meant}")


def _classifier(checkpoint: Checkpoint, prompt: str | None) -> dict[str, Any]:
    """What makes vLLM read the checkpoint as a classifier of one row. Two labelled rows stay two."""
    head, convert = checkpoint.head, convert_advice(checkpoint)
    if checkpoint.layout in ("gguf", "lora"):
        kind = "a GGUF file" if checkpoint.layout == "gguf" else "a LoRA adapter"
        raise UnsupportedModelError(
            f'{checkpoint.name}: {kind}, which backend="vllm" does not read; write a whole checkpoint with {convert} '
            "and use that"
        )
    if head.note == UNTIED:
        raise UnsupportedModelError(
            f"{checkpoint.name}: {names.HEAD} is {UNTIED}, but vLLM would not read it; write a checkpoint that says so "
            f"with {convert} and use that"
        )
    overrides: dict[str, Any] = {"architectures": ["Qwen3ForSequenceClassification"]}
    if head.tensor.name == names.SCORE:
        return {**overrides, "num_labels": head.tensor.shape[0]}
    if isinstance(head.tensor, QuantisedTensor):
        raise UnsupportedModelError(
            f"{checkpoint.name}: {head.tensor.name} is quantised ({head.tensor.dtype}), and vLLM makes no score head "
            f"of it; write it decoded with {convert} and use that"
        )
    yes, *no = _words(checkpoint, head.labels) if head.labels else checkpoint.template(prompt).answers
    method = "from_2_way_softmax" if no else "no_post_processing"
    return {**overrides, "classifier_from_token": [*no, yes], "method": method}


def _words(checkpoint: Checkpoint, token_ids: Collection[int]) -> list[str]:
    """The tokens of these ids as the tokenizer's file spells them."""
    spelt = {token_id: token for token, token_id in checkpoint.tokenizer.fields["model"]["vocab"].items()}
    return [spelt[token_id] for token_id in token_ids]


def _of_a_processor(
    config: ModelConfig, precision: str, row_length: int, given: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Blocks that are short enough for queries to be shared, no compiler, and memory for some rows."""
    chosen = {"block_size": 32, "enforce_eager": True}
    if "gpu_memory_utilization" not in given:
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        tokens = _ROWS_IN_MEMORY * (row_length + chosen["block_size"])
        chosen["kv_cache_memory_bytes"] = tokens * numbers * (4 if precision == "float32" else 2)
    return chosen
