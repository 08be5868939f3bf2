"""What a model needs in memory on the cpu backend, item by item, as the kernels say what they allocate."""

from __future__ import annotations

import math

from qwen3_reranker.backends.base import MemoryItem
from qwen3_reranker.backends.cpu.kernels import make_transformer, native_module
from qwen3_reranker.backends.cpu.layer_weights import INT8_PRECISIONS, PLANES, all_matrices, int8_group, read_dtype
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.weights import Checkpoint, is_plain
from qwen3_reranker.weights.encodings import ENCODINGS

_FLOAT = 4
_MIB = 1 << 20
# Measured: Python, numpy and our modules without a model; what a loaded vocabulary takes, and the maximum while it is
# loaded. A part of the difference stays resident until batches use it.
_PROCESS = 40 * _MIB
_PER_TOKENIZER_ENTRY = 900
_PER_ENTRY_WHILE_LOADING = 1550
# Integers that a batch keeps for each of its tokens, in bytes.
_PER_TOKEN = 64
# A row that ends in a batch has at least so many tokens there: a document's and those after it.
_TOKENS_OF_A_ROW = 6


def memory_needed(
    checkpoint: Checkpoint, options: EngineOptions, *, max_length: int, tokenizer_entries: int, prefix_tokens: int
) -> list[MemoryItem]:
    """The maximum that ranking takes with these options on the cpu backend; all items may be full at once.

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
    if options.precision != "float32":
        # Those that stay, and the part of them that a run reads.
        reason = f"keys and values of the template's first {prefix_tokens:,} tokens, in float32 in every precision"
        items.append(MemoryItem("constant prefix", 2 * prefix_tokens * kept, reason))
    program = _PROCESS + tokenizer_entries * _PER_TOKENIZER_ENTRY
    # The tokenizer is loaded before the rest, which takes the memory that loading has given back.
    loading = _PROCESS + tokenizer_entries * _PER_ENTRY_WHILE_LOADING
    program = max(program, loading - sum(item.num_bytes for item in items))
    return [*items, MemoryItem("program", program, "Python, numpy and the loaded tokenizer")]


def _layers(checkpoint: Checkpoint, options: EngineOptions) -> MemoryItem:
    config = checkpoint.config
    what = f"weights of {config.num_hidden_layers} layers"
    if options.precision in INT8_PRECISIONS:
        group = int8_group(checkpoint)
        sizes = [native_module().int8_sizes(*tensor.shape, group) for tensor in all_matrices(checkpoint)]
        num_bytes = sum(values + scales * _FLOAT for values, scales in sizes)
        return MemoryItem("layers", num_bytes, f"{what} in 8 bits, with a scale for every {group} of them")
    mapped = [tensor for tensor in all_matrices(checkpoint) if is_plain(tensor)]
    read = [tensor for tensor in all_matrices(checkpoint) if not is_plain(tensor)]
    each_read, width = options.precision, ENCODINGS[read_dtype(options.precision)].block_bytes
    num_bytes = sum(tensor.num_bytes for tensor in mapped) + sum(math.prod(tensor.shape) for tensor in read) * width
    how = "as the files hold them ({}), mapped into memory" if mapped else f"read from {{}} into {each_read}"
    if mapped and read:
        how = f"from {{}}, some of them read into {each_read}"
    stored = ", ".join(sorted({tensor.dtype for tensor in mapped + read}))
    return MemoryItem("layers", num_bytes, f"{what} {how.format(stored)}")


def _batch(checkpoint: Checkpoint, options: EngineOptions, max_length: int) -> int:
    """Bytes of a batch: its arrays, packed activations, and each thread's scratch."""
    config, tokens = checkpoint.config, options.batch_tokens
    usable = native_module().variants()
    # Variants of other processors need about as much.
    variant = options.kernels if options.kernels in usable else usable[0]
    transformer = make_transformer(config, variant, options.num_threads or usable_cpus())
    leaves = -(-tokens // _TOKENS_OF_A_ROW)
    group = int8_group(checkpoint) if options.precision in INT8_PRECISIONS else 0
    # Embeddings, which become the residual stream, rotary angles, and the states of the tokens that end a row.
    floats = tokens * (config.hidden_size + config.head_dim) + leaves * config.hidden_size
    workspace: int = transformer.workspace_floats(tokens, leaves)
    buffers: int = transformer.buffer_bytes(
        config.intermediate_size, PLANES[options.precision], group, tokens, max_length
    )
    return (floats + workspace) * _FLOAT + buffers + tokens * _PER_TOKEN
