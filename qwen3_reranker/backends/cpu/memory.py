"""What a model needs in memory on the cpu backend in float32, item by item."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3_reranker.backends.cpu.layout import PIECE_SCORES, STRIP_TOKENS
from qwen3_reranker.backends.cpu.numpy_threads import usable_cpus
from qwen3_reranker.config import EngineOptions, ModelConfig

_FLOAT = 4
_MIB = 1 << 20
# Measured: Python and numpy alone, and what the tokenizers library takes while it loads a vocabulary.
_PROCESS = 32 * _MIB
_PER_TOKENIZER_ENTRY = 1300


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One part of the need, in bytes, and why it is so large."""

    name: str
    num_bytes: int
    reason: str


def memory_needed(
    config: ModelConfig, options: EngineOptions, max_length: int, tokenizer_entries: int
) -> list[MemoryItem]:
    """The most that ranking takes with these options; the sum of the items, which all may be full at once."""
    queries = config.num_attention_heads * config.head_dim
    keys_values = 2 * config.num_key_value_heads * config.head_dim
    hidden, inner, tokens = config.hidden_size, config.intermediate_size, options.max_batch_tokens
    word_vectors = config.vocab_size * hidden * (1 if config.tie_word_embeddings else 2)
    threads = options.num_threads or usable_cpus()
    # One state, one set of queries, keys, values and results, used again in every layer, and the rotary angles.
    packed = tokens * (hidden + 2 * queries + keys_values + config.head_dim)
    # What one thread holds of its strip in the MLP or before attention, with the copies of each step.
    strip = min(tokens, STRIP_TOKENS) * (4 * hidden + max(5 * inner, 4 * (queries + keys_values)))
    # Scores of one piece, its queries scaled and its results; again as much while the future is masked.
    piece = 2 * min(PIECE_SCORES, tokens * max_length) * config.num_attention_heads + 4 * tokens * queries
    kept = config.num_hidden_layers * keys_values * _FLOAT
    return [
        MemoryItem(
            "layers",
            (config.num_parameters - word_vectors) * _FLOAT,
            f"weights of {config.num_hidden_layers} layers in float32, whatever the files hold",
        ),
        MemoryItem("word vectors", 0, "read from the file, row by row, as words occur"),
        MemoryItem(
            "batch", (packed + threads * max(strip, piece)) * _FLOAT, f"{tokens:,} tokens at once, {threads} threads"
        ),
        MemoryItem("shared", max_length * kept, f"keys and values of up to {max_length:,} tokens that batches share"),
        MemoryItem(
            "prefix cache",
            options.prefix_cache_tokens * kept,
            f"keys and values of up to {options.prefix_cache_tokens:,} tokens kept between calls",
        ),
        MemoryItem(
            "program", _PROCESS + tokenizer_entries * _PER_TOKENIZER_ENTRY, "Python, numpy and the loaded tokenizer"
        ),
    ]
