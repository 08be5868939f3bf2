"""What a model needs in memory on the cpu backend, item by item, as its arrays are laid out when it runs.

Sizes follow native_engine.py, native/engine/network.cpp and native/kernels/attention.h.
"""

from __future__ import annotations

import math

from qwen3_reranker.backends.base import MemoryItem
from qwen3_reranker.backends.cpu.layout import STRIP_TOKENS
from qwen3_reranker.backends.cpu.panels import DIGITS, PANEL_OUTPUTS, all_matrices, panel_group, panel_sizes
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.weights import Checkpoint

_FLOAT = 4
_MIB = 1 << 20
# Measured: Python, numpy and our modules alone; what a loaded vocabulary takes, and the most while it is loaded. A part
# of the difference stays resident until batches use it.
_PROCESS = 40 * _MIB
_PER_TOKENIZER_ENTRY = 900
_PER_ENTRY_WHILE_LOADING = 1550
# Numbers and places that a batch keeps for each of its tokens, in bytes.
_PER_TOKEN = 64
# The largest tiles of all variants: rows of activations, and outputs of a panel in float32.
_TILE_ROWS = 12
_FLOAT_COLUMNS = 32
# Inputs that a panel holds at once, keys that attention takes at once, and the room between two rows of scores.
_FLOAT_DEPTH = 224
_SCORES_STRIDE = 528
# A row that ends in a batch has at least so many tokens there: a document's and those behind it.
_TOKENS_OF_A_ROW = 6


def memory_needed(
    checkpoint: Checkpoint, options: EngineOptions, *, max_length: int, tokenizer_entries: int, prefix_tokens: int
) -> list[MemoryItem]:
    """The most that ranking takes with these options on the cpu backend; the items may all be full at once.

    max_length: tokens of a row. prefix_tokens: those of the template that every row begins with.
    """
    config, threads = checkpoint.config, options.num_threads or usable_cpus()
    tokens = options.batch_tokens
    batch = _batch(checkpoint, options, max_length)
    kept = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim * _FLOAT
    items = [
        _layers(checkpoint, options),
        MemoryItem("word vectors", 0, "read from the file, row by row, as words occur"),
        MemoryItem("batch", batch, f"{tokens:,} tokens at once, {threads} {'thread' if threads == 1 else 'threads'}"),
        MemoryItem("shared", max_length * kept, f"keys and values of up to {max_length:,} tokens that batches share"),
        MemoryItem(
            "prefix cache",
            options.prefix_cache_tokens * kept,
            f"keys and values of up to {options.prefix_cache_tokens:,} tokens kept between calls",
        ),
    ]
    if options.precision in DIGITS:
        # Those that stay, and the part of them that a run reads.
        reason = f"keys and values of the template's first {prefix_tokens:,} tokens, in float32 in every precision"
        items.append(MemoryItem("constant prefix", 2 * prefix_tokens * kept, reason))
    program = _PROCESS + tokenizer_entries * _PER_TOKENIZER_ENTRY
    # The tokenizer is loaded before the rest, which takes the room that loading has given back.
    loading = _PROCESS + tokenizer_entries * _PER_ENTRY_WHILE_LOADING
    program = max(program, loading - sum(item.num_bytes for item in items))
    return [*items, MemoryItem("program", program, "Python, numpy and the loaded tokenizer")]


def _layers(checkpoint: Checkpoint, options: EngineOptions) -> MemoryItem:
    config = checkpoint.config
    what = f"weights of {config.num_hidden_layers} layers"
    if options.precision in DIGITS:
        group = panel_group(checkpoint)
        sizes = [panel_sizes(tensor.shape, group) for tensor in all_matrices(checkpoint)]
        num_bytes = sum(values + scales * _FLOAT for values, scales in sizes)
        return MemoryItem("layers", num_bytes, f"{what} in 8 bits, with a scale for every {group} of them")
    mapped = [tensor for tensor in all_matrices(checkpoint) if tensor.is_plain]
    read = [tensor for tensor in all_matrices(checkpoint) if not tensor.is_plain]
    num_bytes = sum(tensor.num_bytes for tensor in mapped) + sum(math.prod(tensor.shape) for tensor in read) * _FLOAT
    how = "as the files hold them ({}), mapped into memory" if mapped else "read from {} into float32"
    if mapped and read:
        how = "from {}, some of them read into float32"
    stored = ", ".join(sorted({tensor.dtype for tensor in mapped + read}))
    return MemoryItem("layers", num_bytes, f"{what} {how.format(stored)}")


def _batch(checkpoint: Checkpoint, options: EngineOptions, max_length: int) -> int:
    """Bytes of a batch on the native kernels: its arrays, packed activations, and each thread's scratch."""
    config = checkpoint.config
    hidden, inner, dim = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys_values = config.num_attention_heads * dim, 2 * config.num_key_value_heads * dim
    tokens, threads = options.batch_tokens, options.num_threads or usable_cpus()
    # One state, one set of queries, keys, values and results, used again in every layer, and the rotary angles.
    arrays = tokens * (hidden + 2 * queries + keys_values + dim)
    # In the last layer the same again, but keys and values, for the tokens that end a row.
    arrays += tokens // _TOKENS_OF_A_ROW * (hidden + 2 * queries + dim)
    strip = _whole(min(tokens, STRIP_TOKENS), _TILE_ROWS)
    widest = max(hidden, queries)
    if digits := DIGITS.get(options.precision):
        group = panel_group(checkpoint)
        scales = 2 * -(-widest // group) + 2 * -(-inner // group)
        packed = strip * digits * (_whole(widest, group) + _whole(inner, group) + scales * _FLOAT)
    else:
        packed = strip * (widest + inner) * _FLOAT
    # Products of the columns that one task takes: whole heads and whole panels, or gate and up side by side.
    columns = max(math.lcm(dim, PANEL_OUTPUTS), 2 * PANEL_OUTPUTS)
    product = strip * columns + max(_FLOAT_DEPTH * _FLOAT_COLUMNS, PANEL_OUTPUTS * 256 // 2)
    # Keys and values of all that a token sees, gathered, and the scores of a tile of queries.
    heads = _whole(dim, _FLOAT_COLUMNS)
    attention = _whole(max_length, _FLOAT_COLUMNS) * dim + max_length * heads + _TILE_ROWS * (_SCORES_STRIDE + heads)
    scratch = threads * max(product, attention, widest)
    return (arrays + scratch) * _FLOAT + packed + tokens * _PER_TOKEN


def _whole(count: int, unit: int) -> int:
    """The count, filled up to whole units."""
    return -(-count // unit) * unit
